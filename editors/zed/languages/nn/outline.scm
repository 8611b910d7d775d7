(constant "const" @context name: (identifier) @name) @item
(function "fn" @context name: (identifier) @name) @item
(layer ["layer" "model"] @context name: (identifier) @name) @item
(optimizer "optimizer" @context name: (identifier) @name) @item
(data "data" @context name: (identifier) @name) @item
(task ["train" "evaluate" "predict" "generate"] @name) @item
(forward "forward" @name) @item
(update "update" @name) @item
(step "step" @name) @item
