; For Neovim; Helix and Zed have their own words for this.
[(layer_body) (task_body) (block) (seq_body) (groups) (group_settings) (use_names)
 (parameters) (arguments) (index) (dims) (tuple) (list)] @indent.begin

["}" ")" "]"] @indent.branch @indent.end
