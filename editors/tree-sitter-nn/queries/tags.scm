(function name: (identifier) @name) @definition.function
(layer name: (identifier) @name) @definition.class
(optimizer name: (identifier) @name) @definition.class
(constant name: (identifier) @name) @definition.constant
(data name: (identifier) @name) @definition.constant
(call function: (identifier) @name) @reference.call
