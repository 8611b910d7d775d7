; No node has two colours, so it does not matter whether an editor lets the first pattern win or the last.
; The copies for Neovim, Helix and Zed are written by `NNC_BLESS=1 cargo test --test editors`.

[(comment) (doc_comment)] @comment
(string) @string
(number) @number
(dtype) @type.builtin

["use" "const" "fn" "layer" "model" "optimizer" "data" "train" "evaluate" "predict" "generate" "gradient" "param" "state"
 "forward" "update" "step"] @keyword
["if" "else" "scan" "seq" "repeat" "yield" "minimize" "report" "load" "freeze" "save" "in" "along" "by" "recompute" "with"
 "over" "from" "to" "except" "where"] @keyword.control
["and" "or" "not"] @keyword.operator
["|>" "->" "==" "!=" "<=" ">=" "<" ">" ".." "+" "-" "*" "/" "@" "^" "=" "|"] @operator
(rest) @operator
["(" ")" "[" "]" "{" "}"] @punctuation.bracket
["," ";" ":" "."] @punctuation.delimiter

; What is declared.
(constant name: (identifier) @constant)
(function name: (identifier) @function)
(layer name: (identifier) @type)
(optimizer name: (identifier) @type)
(data name: (identifier) @variable)
(task name: (identifier) @variable)
(parameter name: (identifier) @variable.parameter)
(parameter_member name: (identifier) @property)
(state_member name: (identifier) @property)
(binding name: (identifier) @property)
(setting name: (identifier) @property)

; What is used.
(call function: (identifier) @type (#match? @type "^[A-Z]"))
(call function: (identifier) @function (#match? @function "^[a-z_]"))
(pipe stage: (identifier) @function)
(argument name: (identifier) @variable.parameter)
(member name: (identifier) @property)
(named_type name: (identifier) @type)
