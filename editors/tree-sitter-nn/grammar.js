// The grammar of .nn files for tree-sitter. `grammar/nn.pest` is the truth; `tests/editors/` holds this one to it, over every
// program of the repository. A line end is a token where a statement can end (`src/scanner.c`), as the compiler's layout decides it.

const PREC = { pipe: 1, or: 2, and: 3, not: 4, compare: 5, range: 6, sum: 7, product: 8, neg: 9, power: 10, postfix: 11 };

/** `a, b, c`, perhaps with a comma behind. */
const list = (rule) => optional(seq(rule, repeat(seq(",", rule)), optional(",")));
/** Things that line ends or `;` separate. */
const lines = ($, rule) => seq(optional($._ends), optional(seq(rule, repeat(seq($._ends, rule)), optional($._ends))));

module.exports = grammar({
  name: "nn",
  extras: ($) => [/[ \t\r\n\f\u{feff}\u{a0}]/, $.comment, $.doc_comment],
  externals: ($) => [$._newline],
  word: ($) => $.identifier,
  conflicts: ($) => [[$.function]],
  supertypes: ($) => [$.expression, $.type],
  rules: {
    file: ($) => repeat(choice($._item, $._end)),
    comment: () => token(choice(seq("//", /[^\n]*/), seq("////", /[^\n]*/))),
    doc_comment: () => token(prec(1, seq("///", optional(/[^\/\n][^\n]*/)))),
    _end: ($) => choice($._newline, ";"),
    _ends: ($) => repeat1($._end),

    // ---- items
    _item: ($) => choice($.use, $.constant, $.function, $.layer, $.optimizer, $.data, $.task),
    use: ($) =>
      seq("use", field("path", $.identifier), repeat(seq(".", choice(field("path", $.identifier), $.use_names)))),
    use_names: ($) => seq("{", repeat(choice(field("name", $.identifier), ",", $._end)), "}"),
    constant: ($) => seq("const", field("name", $.identifier), "=", field("value", $.expression)),
    function: ($) =>
      seq("fn", field("name", $.identifier), $._signature, field("body", $.block), optional(seq(optional($._ends), $.gradient))),
    gradient: ($) => seq("gradient", $.parameters, field("body", $.block)),
    layer: ($) =>
      seq(choice("layer", "model"), field("name", $.identifier), optional($.parameters), field("body", $.layer_body)),
    optimizer: ($) => seq("optimizer", field("name", $.identifier), optional($.parameters), field("body", $.layer_body)),
    data: ($) => seq("data", field("name", $.identifier), "=", field("value", $.expression), optional(field("body", $.block))),
    task: ($) =>
      seq(
        choice("train", "evaluate", "predict", "generate"),
        optional(field("name", $.identifier)),
        optional($.parameters),
        field("body", $.task_body),
      ),

    _signature: ($) => seq($.parameters, optional(seq("->", field("result", $.type))), optional($.where)),
    parameters: ($) => seq("(", list($.parameter), ")"),
    parameter: ($) =>
      seq(field("name", $.identifier), optional(seq(":", field("type", $.type))), optional(seq("=", field("default", $.expression)))),
    where: ($) => seq("where", $.clause, repeat(seq(",", $.clause))),
    clause: ($) => seq($.expression, optional(seq("=", $.expression))),

    // ---- members
    layer_body: ($) => seq("{", lines($, choice($.parameter_member, $.state_member, $.forward, $.update, $.binding)), "}"),
    parameter_member: ($) =>
      seq("param", field("name", $.identifier), ":", field("type", $.type), optional(seq("=", field("value", $.expression)))),
    state_member: ($) =>
      seq("state", field("name", $.identifier), optional(seq(":", field("type", $.type))), optional(seq("=", field("value", $.expression)))),
    forward: ($) => seq("forward", $._signature, field("body", $.block)),
    update: ($) => seq("update", $.parameters, field("body", $.block)),
    binding: ($) => seq(field("name", $._any_name), "=", field("value", $.expression)),
    // What is a word of the language where it stands, and a name before `=`.
    _any_name: ($) =>
      choice($.identifier, alias(choice("forward", "update", "step"), $.identifier)),

    task_body: ($) => seq("{", lines($, choice($.setting, $.load, $.freeze, $.step)), "}"),
    setting: ($) => seq(field("name", $._any_name), "=", field("value", $.expression), optional($.groups)),
    step: ($) => seq("step", $.parameters, field("body", $.block)),
    load: ($) => seq("load", $.selection, "from", field("file", $.expression)),
    freeze: ($) => seq("freeze", $.selection),
    groups: ($) => seq("{", lines($, $.group), "}"),
    group: ($) => seq($.selection, $.group_settings),
    group_settings: ($) => seq("{", repeat(choice(alias($.group_setting, $.setting), ",", $._end)), "}"),
    group_setting: ($) => seq(field("name", $.identifier), "=", field("value", $.expression)),
    selection: ($) =>
      prec.right(seq($.path, repeat(seq(",", $.path)), optional(seq("except", $.path, repeat(seq(",", $.path)))))),
    path: ($) => seq(choice($.identifier, "*"), repeat(choice($.index, seq(".", choice(field("name", $.identifier), "*"))))),

    // ---- statements
    block: ($) => seq("{", lines($, $._statement), "}"),
    _statement: ($) => choice($.assignment, $.minimize, $.report, $.yield, $.save, $.expression),
    assignment: ($) =>
      seq(
        choice(field("name", $.identifier), field("pattern", $.tuple)),
        optional(seq(":", field("type", $.type))),
        "=",
        field("value", $.expression),
      ),
    minimize: ($) =>
      seq("minimize", $.expression, optional(seq("over", $.selection)), optional(seq("with", $.expression, optional($.groups)))),
    report: ($) => seq("report", optional(seq(field("name", $.identifier), "=")), $.expression),
    yield: ($) => seq("yield", $.expression, repeat(seq(",", $.expression))),
    save: ($) => seq("save", $.expression, "to", field("file", $.expression)),

    // ---- expressions
    expression: ($) =>
      choice(
        $.pipe, $.binary, $.unary, $.call, $.subscript, $.member, $.identifier, $.dtype, $.number, $.string, $.tuple, $.list, $.if,
        $.seq, $.repeat, $.scan,
      ),
    pipe: ($) => prec.left(PREC.pipe, seq($.expression, "|>", field("stage", $.expression))),
    binary: ($) =>
      choice(
        ...[
          ["or", PREC.or], ["and", PREC.and], ["==", PREC.compare], ["!=", PREC.compare], ["<=", PREC.compare],
          [">=", PREC.compare], ["<", PREC.compare], [">", PREC.compare], ["..", PREC.range], ["+", PREC.sum], ["-", PREC.sum],
          ["*", PREC.product], ["/", PREC.product], ["@", PREC.product],
        ].map(([operator, level]) => prec.left(level, seq($.expression, operator, $.expression))),
        prec.right(PREC.power, seq($.expression, "^", $.expression)),
      ),
    unary: ($) => choice(prec(PREC.neg, seq("-", $.expression)), prec(PREC.not, seq("not", $.expression))),
    call: ($) => prec(PREC.postfix, seq(field("function", $.expression), $.arguments)),
    arguments: ($) => seq("(", list($.argument), ")"),
    argument: ($) => seq(optional(seq(field("name", $.identifier), ":")), field("value", $.expression)),
    subscript: ($) => prec(PREC.postfix, seq($.expression, $.index)),
    index: ($) => seq("[", list($._axis), "]"),
    _axis: ($) => choice(alias("..", $.rest), $.slice, $.expression),
    slice: ($) =>
      seq(optional($.expression), ":", optional($.expression), optional(seq(":", optional($.expression)))),
    member: ($) => prec(PREC.postfix, seq($.expression, ".", choice(field("name", $.identifier), "*"))),
    tuple: ($) => seq("(", list($.expression), ")"),
    list: ($) => seq("[", list($.expression), "]"),
    if: ($) => prec.right(seq("if", field("condition", $.expression), $.block, optional(seq("else", choice($.if, $.block))))),
    seq: ($) => seq("seq", field("body", $.seq_body)),
    repeat: ($) =>
      seq("repeat", optional(seq(field("name", $.identifier), "in")), $.expression, field("body", $.seq_body)),
    seq_body: ($) => seq("{", lines($, choice($.assignment, $.minimize, $.report, $.expression)), "}"),
    scan: ($) =>
      seq(
        "scan",
        field("name", choice($.identifier, $.tuple)),
        "in",
        $.expression,
        optional(seq("along", field("axis", $.identifier))),
        optional(seq("by", $.expression)),
        optional("recompute"),
        optional(seq("with", $.carry, repeat(seq(",", $.carry)))),
        field("body", $.block),
      ),
    carry: ($) => seq(field("name", $.identifier), "=", field("value", $.expression)),

    // ---- types
    type: ($) => choice($.named_type, $.tuple_type, $.list_type, $.choice_type),
    choice_type: ($) => prec.left(seq($.type, "|", $.type)),
    named_type: ($) =>
      prec.right(seq(choice(field("name", $.identifier), $.dtype), optional(choice(seq($.dtype, optional($.dims)), $.dims)))),
    tuple_type: ($) => seq("(", list($.type), ")"),
    list_type: ($) => seq("[", $.type, "]"),
    dims: ($) => seq("[", list(choice($.rest_dim, $.expression)), "]"),
    rest_dim: ($) => seq("..", optional(field("name", $.identifier))),
    dtype: () => choice("f32", "f16", "bf16", "f64", "i8", "u8", "i32", "i64", "bool"),

    // ---- words
    number: ($) => prec.right(seq($._digits, optional(alias($.identifier, $.unit)))),
    _digits: () => /[0-9]+(\.[0-9]+)?([eE][+-]?[0-9]+)?/,
    string: ($) => seq('"', repeat(choice(token.immediate(prec(1, /[^"\\\n]+/)), $.escape)), token.immediate('"')),
    escape: () => token.immediate(/\\[^\n]/),
    identifier: () => /[A-Za-z_][A-Za-z0-9_]*/,
  },
});
