// The grammar of .nn files for tree-sitter. grammar/nn.pest is the truth; tests/editors.rs compares the words of both.
//
// Line ends separate statements in braces and mean nothing in round and square brackets. Here they are white space everywhere and
// statements follow each other: for highlighting, folding and outlines that is enough, and needs no scanner of its own.

const PREC = { pipe: 1, or: 2, and: 3, not: 4, compare: 5, range: 6, sum: 7, product: 8, neg: 9, power: 10, call: 11 };
const list = (rule) => optional(seq(rule, repeat(seq(",", rule)), optional(",")));

module.exports = grammar({
  name: "nn",
  extras: ($) => [/\s/, $.comment],
  word: ($) => $.identifier,
  conflicts: ($) => [
    [$._expression, $.selection_path],
    [$._expression, $.typed_name],
    [$._expression, $.pattern_name],
    [$.binding, $._expression],
    [$.minimize],
    [$.settings_of, $._expression],
    [$.seq_item, $._expression],
    [$.repeat],
    [$._statement, $.seq_item],
    [$.block, $.seq_body],
  ],
  rules: {
    file: ($) => repeat(choice($._item, ";")),
    comment: () => token(seq("//", /[^\n]*/)),

    _item: ($) => choice($.use, $.constant, $.function, $.layer, $.optimizer, $.data, $.task),
    use: ($) => seq("use", $.identifier, repeat(seq(".", choice($.identifier, seq("{", list($.identifier), "}"))))),
    constant: ($) => seq("const", field("name", $.identifier), "=", $._expression),
    function: ($) => seq("fn", field("name", $.identifier), $._signature, field("body", $.block), optional($.gradient)),
    gradient: ($) => seq("gradient", $.parameters, $.block),
    layer: ($) => seq(choice("layer", "model"), field("name", $.identifier), optional($.parameters), field("body", $.members)),
    optimizer: ($) => seq("optimizer", field("name", $.identifier), optional($.parameters), field("body", $.members)),
    data: ($) => seq("data", field("name", $.identifier), "=", $._expression, optional(field("body", $.block))),
    task: ($) =>
      seq(choice("train", "evaluate", "predict", "generate"), optional(field("name", $.identifier)), optional($.parameters),
        field("body", $.members)),

    _signature: ($) => seq($.parameters, optional(seq("->", $._type)), optional($.where)),
    parameters: ($) => seq("(", list($.parameter), ")"),
    parameter: ($) => seq(field("name", $.identifier), optional(seq(":", $._type)), optional(seq("=", $._expression))),
    where: ($) => seq("where", $.clause, repeat(seq(",", $.clause))),
    clause: ($) => prec.right(seq($._expression, optional(seq("=", $._expression)))),

    members: ($) => seq("{", repeat(choice($.parameter_member, $.method, $.load, $.freeze, $.binding, ";")), "}"),
    parameter_member: ($) =>
      prec.right(seq(choice("param", "state"), field("name", $.identifier), optional(seq(":", $._type)), optional(seq("=", $._expression)))),
    method: ($) => seq(field("name", choice("forward", "update", "step")), $._signature, field("body", $.block)),
    load: ($) => seq("load", $.selection, "from", $._expression),
    freeze: ($) => prec.right(seq("freeze", $.selection)),
    binding: ($) => prec.right(seq(field("name", $.identifier), "=", $._expression, optional($.settings_of))),
    settings_of: ($) => seq("{", repeat(seq($.selection, $.settings)), "}"),
    settings: ($) => seq("{", repeat(choice($.binding, ",", ";")), "}"),
    selection: ($) =>
      prec.right(seq($.selection_path, repeat(seq(",", $.selection_path)),
        optional(seq("except", $.selection_path, repeat(seq(",", $.selection_path)))))),
    selection_path: ($) => prec.right(seq($.identifier, repeat(choice($.index, seq(".", choice($.identifier, "*")))))),

    block: ($) => seq("{", repeat(choice($._statement, ";")), "}"),
    _statement: ($) => choice($.minimize, $.report, $.yield, $.save, $.load, $.freeze, $.assignment, $._expression),
    assignment: ($) => prec.right(2, seq(choice($.pattern_name, $.typed_name, $.tuple), "=", $._expression)),
    pattern_name: ($) => $.identifier,
    typed_name: ($) => seq($.identifier, ":", $._type),
    minimize: ($) => prec.right(seq("minimize", $._expression, optional(seq("over", $.selection)), optional(seq("with", $._expression)))),
    report: ($) => prec.right(seq("report", optional(seq($.identifier, "=")), $._expression)),
    yield: ($) => prec.right(seq("yield", $._expression, repeat(seq(",", $._expression)))),
    save: ($) => seq("save", $._expression, "to", $._expression),

    _expression: ($) =>
      choice($.binary, $.unary, $.call, $.subscript, $.member, $.identifier, $.number, $.string, $.tuple, $.list, $.if, $.seq, $.repeat,
        $.scan),
    binary: ($) =>
      choice(
        ...[["|>", PREC.pipe], ["or", PREC.or], ["and", PREC.and], ["..", PREC.range], ["+", PREC.sum], ["-", PREC.sum],
          ["*", PREC.product], ["/", PREC.product], ["@", PREC.product]]
          .map(([op, p]) => prec.left(p, seq($._expression, op, $._expression))),
        ...["==", "!=", "<=", ">=", "<", ">"].map((op) => prec.left(PREC.compare, seq($._expression, op, $._expression))),
        prec.right(PREC.power, seq($._expression, "^", $._expression)),
      ),
    unary: ($) => choice(prec(PREC.neg, seq("-", $._expression)), prec(PREC.not, seq("not", $._expression))),
    call: ($) => prec(PREC.call, seq(field("function", $._expression), token.immediate("("), list($.argument), ")")),
    argument: ($) => seq(optional(seq(field("name", $.identifier), ":")), $._expression),
    subscript: ($) => prec(PREC.call, seq($._expression, $.index)),
    index: ($) => seq(token.immediate("["), list($.axis), "]"),
    axis: ($) => choice("..", $._expression, seq(optional($._expression), ":", optional($._expression), optional(seq(":", optional($._expression))))),
    member: ($) => prec(PREC.call, seq($._expression, token.immediate("."), choice(field("name", $.identifier), "*"))),
    tuple: ($) => seq("(", list($._expression), ")"),
    list: ($) => seq("[", list($._expression), "]"),
    if: ($) => prec.right(seq("if", $._expression, $.block, optional(seq("else", choice($.if, $.block))))),
    seq: ($) => seq("seq", $.seq_body),
    repeat: ($) => seq("repeat", optional(seq($.identifier, "in")), $._expression, $.seq_body),
    seq_body: ($) => seq("{", repeat(choice($.seq_item, ";")), "}"),
    seq_item: ($) => choice($.binding, $.minimize, $.report, $._expression),
    scan: ($) =>
      seq("scan", choice($.identifier, $.tuple), "in", $._expression, optional(seq("along", $.identifier)),
        optional(seq("by", $._expression)), optional("recompute"),
        optional(seq("with", $.carry, repeat(seq(",", $.carry)))), $.block),
    carry: ($) => seq($.identifier, "=", $._expression),

    _type: ($) => choice($.named_type, $.tuple_type, $.list_type, $.choice_type),
    choice_type: ($) => prec.left(seq($._type, "|", $._type)),
    named_type: ($) => prec.right(seq(choice($.identifier, $.dtype), optional($.dtype), optional($.dims))),
    tuple_type: ($) => seq("(", list($._type), ")"),
    list_type: ($) => seq("[", $._type, "]"),
    dims: ($) => seq(token.immediate("["), list(choice(seq("..", optional($.identifier)), $._expression)), "]"),
    dtype: () => choice("f32", "f16", "bf16", "f64", "i8", "u8", "i32", "i64", "bool"),

    number: ($) => prec.right(seq(/[0-9]+(\.[0-9]+)?([eE][+-]?[0-9]+)?/, optional($.unit))),
    unit: () => choice("epochs", "epoch", "steps", "step", "ms", "s", "KiB", "MiB", "GiB", "KB", "MB", "GB"),
    string: () => /"(\\.|[^"\\\n])*"/,
    identifier: () => /[A-Za-z_][A-Za-z0-9_]*/,
  },
});
