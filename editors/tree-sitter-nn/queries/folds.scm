[(layer_body) (task_body) (block) (seq_body) (groups) (use_names)] @fold
