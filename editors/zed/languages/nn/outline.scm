(function "fn" @context name: (identifier) @name) @item
(layer ["layer" "model"] @context name: (identifier) @name) @item
(optimizer "optimizer" @context name: (identifier) @name) @item
(method name: _ @name) @item
