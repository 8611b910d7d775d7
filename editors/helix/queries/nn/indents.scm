[(layer_body) (task_body) (block) (seq_body) (groups) (group_settings) (use_names)
 (parameters) (arguments) (index) (dims) (tuple) (list)] @indent

["}" ")" "]"] @outdent
