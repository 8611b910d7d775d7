(function body: (_) @function.inside) @function.around
(forward body: (_) @function.inside) @function.around
(update body: (_) @function.inside) @function.around
(step body: (_) @function.inside) @function.around
(layer body: (_) @class.inside) @class.around
(optimizer body: (_) @class.inside) @class.around
(task body: (_) @class.inside) @class.around
(parameter) @parameter.inside
(argument) @parameter.inside
[(comment) (doc_comment)] @comment.inside
[(comment) (doc_comment)]+ @comment.around
