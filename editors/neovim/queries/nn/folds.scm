[(members) (block) (seq_body) (settings_of)] @fold
