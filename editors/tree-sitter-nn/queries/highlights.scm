(comment) @comment
(string) @string
(number) @number
(unit) @number
(dtype) @type.builtin

["use" "const" "fn" "layer" "model" "optimizer" "data" "train" "evaluate" "predict" "generate" "gradient" "param" "state"
 "forward" "update" "step"] @keyword
["if" "else" "scan" "seq" "repeat" "yield" "minimize" "report" "load" "freeze" "save" "in" "along" "by" "recompute" "with"
 "over" "from" "to" "except" "where"] @keyword.control
["and" "or" "not"] @keyword.operator
["|>" "->" "==" "!=" "<=" ">=" "<" ">" ".." "+" "-" "*" "/" "@" "^" "=" "|"] @operator
["(" ")" "[" "]" "{" "}"] @punctuation.bracket
["," ";" ":" "."] @punctuation.delimiter

(function name: (identifier) @function)
(layer name: (identifier) @type)
(optimizer name: (identifier) @type)
(parameter name: (identifier) @variable.parameter)
(argument name: (identifier) @property)
(call function: (identifier) @type (#match? @type "^[A-Z]"))
(call function: (identifier) @function (#match? @function "^[a-z_]"))
(named_type (identifier) @type)
(binding name: (identifier) @variable)
(member name: (identifier) @property)
