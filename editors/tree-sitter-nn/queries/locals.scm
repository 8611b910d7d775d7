[(file) (function) (layer) (optimizer) (task) (forward) (update) (step) (block) (seq_body) (scan)] @local.scope

(constant name: (identifier) @local.definition)
(function name: (identifier) @local.definition)
(layer name: (identifier) @local.definition)
(optimizer name: (identifier) @local.definition)
(data name: (identifier) @local.definition)
(task name: (identifier) @local.definition)
(parameter name: (identifier) @local.definition)
(parameter_member name: (identifier) @local.definition)
(state_member name: (identifier) @local.definition)
(binding name: (identifier) @local.definition)
(assignment name: (identifier) @local.definition)
(assignment pattern: (tuple (identifier) @local.definition))
(repeat name: (identifier) @local.definition)
(scan name: (identifier) @local.definition)
(scan name: (tuple (identifier) @local.definition))
(carry name: (identifier) @local.definition)

(identifier) @local.reference
