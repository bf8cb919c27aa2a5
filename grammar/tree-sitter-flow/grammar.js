/**
 * @file Flow programs, for editors. grammar/flow.pest is the truth; a test keeps the two in step.
 *
 * Words are soft: a word of a step or clause is a keyword only where the parser can go on with it. Where a list may go on with a column of
 * that name or end with the clause, `src/scanner.c` looks at what is behind the word, as flow.pest does.
 *
 * @license Apache-2.0
 */

/// <reference types="tree-sitter-cli/dsl" />
// @ts-check

/** Words that no expression has as a plain name. */
const RESERVED = [
  "null", "true", "false", "if", "then", "else",
  "and", "or", "not", "in", "is", "as", "like", "matches", "between", "div",
];

const DIGITS = "[0-9][0-9_]*";
const EXPONENT = "[eE][+-]?[0-9]+";

/** From the loosest to the tightest. */
const PREC = { filter: 0, or: 1, and: 2, not: 3, compare: 4, cast: 5, coalesce: 6, add: 7, multiply: 8, negate: 9, postfix: 10 };

/** One or more, a comma between them, and perhaps one behind. */
const list = (rule) => seq(rule, repeat(seq(",", rule)), optional(","));

/** A block of any number of these. */
const block = (rule) => seq("{", repeat(rule), "}");

module.exports = grammar({
  name: "flow",

  externals: ($) => [
    // A word of the language that is a name here.
    $._soft_name,
    // The `as` of `as of TIME`, which no conversion may take.
    $._as_of,
    // The `?` of a type, which is not half of a `??`.
    $.nullable,
    // `1%`, unless it is a remainder.
    $.percent,
    // A word before `:`, where another one goes on with what was before.
    $._label,
    $._error_sentinel,
  ],

  extras: ($) => [/[ \t\r\n\uFEFF]/, $.comment, $.doc_comment],

  word: ($) => $.identifier,

  reserved: {
    global: ($) => RESERVED,
    names: ($) => [],
  },

  // `overwrite partition` and `overwrite`, then `partition by`: the word behind tells.
  conflicts: ($) => [[$.mode_clause], [$.repair]],

  supertypes: ($) => [$._declaration, $._step, $._operand, $._literal],

  rules: {
    program: ($) => repeat($._declaration),

    // ------------------------------------------------------------------------------------------------------ declarations

    _declaration: ($) =>
      choice(
        $.use_declaration,
        $.param_declaration,
        $.source_declaration,
        $.table_declaration,
        $.function_declaration,
        $.flow_declaration,
        $.sink_declaration,
        $.test_declaration,
      ),

    use_declaration: ($) => seq("use", field("path", $.string)),

    param_declaration: ($) =>
      seq("param", field("name", $._name), ":", field("type", $._type), optional(seq("=", field("value", $._expression)))),

    source_declaration: ($) =>
      seq("source", field("name", $._name), "=", field("connector", $.connector), optional(field("body", $.source_body))),

    table_declaration: ($) =>
      seq("table", field("name", $._name), "=", field("connector", $.connector), optional(field("body", $.source_body))),

    function_declaration: ($) =>
      seq(
        "fn",
        field("name", $._name),
        field("parameters", $.parameters),
        optional(seq("->", field("type", $._type))),
        "=",
        field("body", $._expression),
      ),

    parameters: ($) => seq("(", optional(list($.parameter)), ")"),
    parameter: ($) => seq(field("name", $._name), ":", field("type", $._type)),

    flow_declaration: ($) => seq("flow", field("name", $._name), "=", field("input", $.flow_reference), repeat(seq("|>", $._step))),

    sink_declaration: ($) =>
      seq(
        "sink",
        field("name", $._name),
        "=",
        field("input", $.flow_reference),
        "->",
        field("connector", $.connector),
        optional(field("body", $.sink_body)),
      ),

    test_declaration: ($) => seq("test", field("name", $.string), field("body", $.test_body)),

    connector: ($) => seq(field("name", $._name), "(", optional($._arguments), ")"),

    flow_reference: ($) => seq(field("name", $._name), optional(seq(".", field("output", $._name)))),

    _arguments: ($) => list(choice($.named_argument, $._expression)),
    named_argument: ($) => seq(field("name", $._name), ":", field("value", $._expression)),

    // ------------------------------------------------------------------------------------------------ sources and tables

    source_body: ($) =>
      block(
        choice(
          $.schema_clause,
          $.event_time_clause,
          $.watermark_clause,
          $.idle_clause,
          $.changes_clause,
          $.sequence_clause,
          $.ignore_clause,
          $.malformed_clause,
          $.start_clause,
          $.version_clause,
          $.as_of_clause,
        ),
      ),

    schema_clause: ($) => seq("schema", "{", optional(list($.column)), "}"),
    column: ($) => seq(field("name", $._name), ":", field("type", $._type)),
    event_time_clause: ($) => seq("event_time", field("name", $._name), optional(seq("=", field("value", $._expression)))),
    watermark_clause: ($) => seq("watermark", $._expression),
    idle_clause: ($) => seq("idle", $._expression),
    changes_clause: ($) => seq("changes", optional(seq("from", list($._name))), optional(seq("by", list($._name)))),
    sequence_clause: ($) => seq("sequence", "by", $._expression),
    ignore_clause: ($) => seq("ignore", "updates"),
    malformed_clause: ($) => seq("malformed", choice("quarantine", "fail")),
    start_clause: ($) => seq("start", choice($.version_clause, $._expression)),
    version_clause: ($) => seq("version", $._expression),
    as_of_clause: ($) => seq(alias($._as_of, "as"), "of", field("time", $._expression)),

    // ------------------------------------------------------------------------------------------------------------- sinks

    sink_body: ($) =>
      block(choice($.mode_clause, $.partition_clause, $.constraint_clause, $.properties_clause, $.evolve_clause)),

    mode_clause: ($) =>
      seq("mode", choice("append", seq("overwrite", optional("partition")), seq(choice("merge", "scd2"), "on", list($._name)))),
    partition_clause: ($) => seq("partition", "by", list($._assignment)),
    constraint_clause: ($) => seq("constraint", field("name", $._name), ":", field("condition", $._expression)),
    properties_clause: ($) => seq("properties", "{", optional(list($.property)), "}"),
    property: ($) => seq(field("name", $.string), ":", field("value", $._expression)),
    evolve_clause: ($) => "evolve",

    // ------------------------------------------------------------------------------------------------------------- tests

    test_body: ($) =>
      block(choice($.given_param_clause, $.given_clause, $.then_error_clause, $.then_clause, $.at_clause, $.advance_clause)),

    given_param_clause: ($) => seq("given", "param", field("name", $._name), "=", field("value", $._expression)),
    given_clause: ($) => seq("given", field("input", $.flow_reference), field("rows", $.array)),
    then_error_clause: ($) => seq("then", "error", field("code", $._name)),
    then_clause: ($) => seq("then", field("output", $.flow_reference), field("rows", $.array)),
    at_clause: ($) => seq("at", $._expression),
    advance_clause: ($) => seq("advance", "watermark", "to", $._expression),

    // ------------------------------------------------------------------------------------------------------------- steps

    _step: ($) =>
      choice(
        $.where_step,
        $.extend_step,
        $.select_step,
        $.drop_step,
        $.rename_step,
        $.expect_step,
        $.join_step,
        $.aggregate_step,
        $.dedup_step,
        $.top_step,
        $.sort_step,
        $.limit_step,
        $.union_step,
        $.explode_step,
      ),

    where_step: ($) => seq("where", $._expression),
    extend_step: ($) => seq("extend", list($._assignment)),
    select_step: ($) => seq("select", list($._assignment)),
    drop_step: ($) => seq("drop", list($._name)),
    rename_step: ($) => seq("rename", list($.rename)),
    rename: ($) => seq(field("name", $._name), "=", field("value", $._name)),
    sort_step: ($) => seq("sort", list($.sort_key)),
    limit_step: ($) => seq("limit", $._expression),
    union_step: ($) => seq("union", list($.flow_reference)),
    explode_step: ($) => seq("explode", field("value", $._postfix), optional(seq("as", field("name", $._name)))),

    _assignment: ($) => choice($.assignment, $._expression),
    assignment: ($) => seq(field("name", $._name), "=", field("value", $._expression)),

    expect_step: ($) => seq("expect", block(seq($.rule, optional(",")))),
    rule: ($) =>
      seq(
        field("name", choice(reserved("names", $.identifier), alias($._label, $.identifier), $.quoted_name)),
        ":",
        field("condition", choice($.unique_condition, $._expression)),
        optional(seq("else", field("policy", $.policy))),
      ),
    unique_condition: ($) => seq("unique", "(", list($._expression), ")", optional(seq("within", $._expression))),
    policy: ($) => choice("warn", "drop", "quarantine", "fail", $.repair),
    repair: ($) => seq("repair", list($.assignment)),

    join_step: ($) =>
      seq(
        optional(field("kind", choice("left", "right", "full", "semi", "anti"))),
        "join",
        field("input", $.flow_reference),
        optional(seq("as", field("alias", $._name))),
        repeat(choice($.on_clause, $.within_clause, $.as_of_clause)),
      ),
    on_clause: ($) => seq("on", $._expression),
    within_clause: ($) => seq("within", $._expression),

    aggregate_step: ($) =>
      seq(
        "aggregate",
        optional(list($._assignment)),
        optional($.by_clause),
        optional(seq($.window_clause, optional(","))),
        optional(seq($.late_clause, optional(","))),
      ),
    by_clause: ($) => prec.right(seq("by", optional(list(choice($.window_clause, $._assignment))))),
    window_clause: ($) => seq("window", field("kind", $._name), "(", optional($._arguments), ")"),
    late_clause: ($) => seq("late", $._expression),

    dedup_step: ($) => seq("dedup", optional(seq("by", list($._assignment))), optional(seq($.within_clause, optional(",")))),

    top_step: ($) => seq("top", field("count", $._expression), "by", list($.sort_key), optional($.per_clause)),
    sort_key: ($) =>
      seq($._expression, optional(choice("asc", "desc")), optional(seq("nulls", choice("first", "last")))),
    per_clause: ($) => seq("per", list($._assignment)),

    // ------------------------------------------------------------------------------------------------------------- types

    _type: ($) => seq(choice($.array_type, $.map_type, $.struct_type, $.sized_type, $.named_type), optional($.nullable)),
    array_type: ($) => seq("array", "<", $._type, ">"),
    map_type: ($) => seq("map", "<", field("key", $._type), ",", field("value", $._type), ">"),
    struct_type: ($) => seq("struct", "<", optional(list($.column)), ">"),
    sized_type: ($) => seq(field("name", $._word), "(", $.integer, repeat(seq(",", $.integer)), ")"),
    named_type: ($) => $._word,

    // ------------------------------------------------------------------------------------------------------- expressions

    _expression: ($) => choice($.or_expression, $.and_expression, $.not_expression, $._comparand),

    or_expression: ($) => prec.left(PREC.or, seq(field("left", $._expression), "or", field("right", $._expression))),
    and_expression: ($) => prec.left(PREC.and, seq(field("left", $._expression), "and", field("right", $._expression))),
    not_expression: ($) => prec(PREC.not, seq("not", $._expression)),

    _comparand: ($) => choice($.comparison, $.in_expression, $.like_expression, $.between_expression, $.null_test, $._operand),
    _compare_operator: ($) => choice("==", "!=", "<=", "<", ">=", ">"),
    comparison: ($) => compared($, field("operator", $._compare_operator), field("right", $._operand)),
    in_expression: ($) => compared($, optional("not"), "in", field("right", $._operand)),
    like_expression: ($) => compared($, optional("not"), choice("like", "matches"), field("right", $._operand)),
    between_expression: ($) =>
      compared($, optional("not"), "between", field("low", $._operand), "and", field("high", $._operand)),
    null_test: ($) => compared($, "is", optional("not"), "null"),

    _operand: ($) => choice($.binary_expression, $.negation, $.cast, $._postfix),

    binary_expression: ($) => {
      const operators = /** @type {const} */ ([
        ["??", PREC.coalesce],
        ["+", PREC.add],
        ["-", PREC.add],
        ["*", PREC.multiply],
        ["/", PREC.multiply],
        ["div", PREC.multiply],
        ["%", PREC.multiply],
      ]);
      return choice(
        ...operators.map(([operator, level]) =>
          prec.left(level, seq(field("left", $._operand), field("operator", operator), field("right", $._operand))),
        ),
      );
    },
    negation: ($) => prec(PREC.negate, seq("-", $._operand)),
    cast: ($) => prec.left(PREC.cast, seq(field("value", $._operand), "as", field("type", $._type))),

    _postfix: ($) => choice($.field_expression, $.index_expression, $._primary),
    field_expression: ($) => prec.left(PREC.postfix, seq(field("value", $._postfix), ".", field("field", $._field_name))),
    index_expression: ($) => prec.left(PREC.postfix, seq(field("value", $._postfix), "[", field("index", $._expression), "]")),

    _primary: ($) =>
      choice(
        $.parenthesized_expression,
        $.if_expression,
        $.match_expression,
        $._literal,
        $.array,
        $.struct,
        $.call_expression,
        $.reference,
      ),

    parenthesized_expression: ($) => seq("(", $._expression, ")"),

    if_expression: ($) =>
      prec.right(
        seq(
          "if",
          field("condition", $._expression),
          "then",
          field("consequence", $._expression),
          "else",
          field("alternative", $._expression),
        ),
      ),

    match_expression: ($) => seq("match", field("value", $._expression), "{", optional(list($.match_arm)), "}"),
    match_arm: ($) =>
      seq(
        field("pattern", $._pattern),
        repeat(seq(choice("or", "|"), field("pattern", $._pattern))),
        "=>",
        field("value", $._expression),
      ),
    _pattern: ($) =>
      choice($.wildcard, $.compare_pattern, $.in_pattern, $.between_pattern, $.like_pattern, $.value_pattern),
    value_pattern: ($) => $._operand,
    wildcard: ($) => "_",
    compare_pattern: ($) => seq(field("operator", $._compare_operator), $._operand),
    in_pattern: ($) => seq("in", $._operand),
    between_pattern: ($) => seq("between", field("low", $._operand), "and", field("high", $._operand)),
    like_pattern: ($) => seq(choice("like", "matches"), $._operand),

    array: ($) => seq("[", optional(list($._expression)), "]"),
    struct: ($) => seq("{", optional(list($.struct_field)), "}"),
    struct_field: ($) => seq(field("name", $._name), ":", field("value", $._expression)),

    reference: ($) => $._plain_name,
    call_expression: ($) =>
      prec.right(seq(field("function", $._plain_name), "(", optional($._arguments), ")", optional($.filter))),
    filter: ($) => prec(PREC.filter, seq("where", $._expression)),

    // ---------------------------------------------------------------------------------------------------------- literals

    _literal: ($) =>
      choice(
        $.null,
        $.boolean,
        $.duration,
        $.decimal,
        $.percent,
        $.double,
        $.integer,
        $.raw_string,
        $.string,
        $.temporal,
      ),

    null: ($) => "null",
    boolean: ($) => choice("true", "false"),
    duration: ($) => token(new RegExp(`${DIGITS}(us|ms|s|m|h|d)`)),
    decimal: ($) => token(new RegExp(`${DIGITS}\\.${DIGITS}d`)),
    double: ($) => token(new RegExp(`${DIGITS}(\\.${DIGITS}(${EXPONENT})?|${EXPONENT})`)),
    integer: ($) => token(new RegExp(DIGITS)),
    temporal: ($) => token(/@[0-9]([A-Za-z0-9:+-]|\.[0-9])*/),

    raw_string: ($) => token(/r"[^"\r\n]*"/),
    string: ($) =>
      seq('"', repeat(choice($.string_content, $.escape_sequence, $.interpolation)), alias(token.immediate('"'), '"')),
    string_content: ($) => token.immediate(prec(1, /([^"\\{}\r\n])+|\}/)),
    escape_sequence: ($) => token.immediate(prec(2, /\\(u\{[0-9A-Fa-f]*\}|[^\r\n])|\{\{|\}\}/)),
    interpolation: ($) => seq(alias(token.immediate("{"), "{"), $._expression, "}"),

    // ------------------------------------------------------------------------------------------------------------- names

    // Where only a name can stand, it may be any word.
    _name: ($) => choice(reserved("names", $.identifier), alias($._soft_name, $.identifier), $.quoted_name),
    _field_name: ($) =>
      choice(alias(reserved("names", $.identifier), $.field_identifier), alias($._soft_name, $.field_identifier), $.quoted_name),
    _word: ($) => choice(reserved("names", $.identifier), alias($._soft_name, $.identifier)),
    _plain_name: ($) => choice($.identifier, alias($._soft_name, $.identifier), $.quoted_name),

    identifier: ($) => /[A-Za-z_][A-Za-z0-9_]*/,
    quoted_name: ($) => token(/`[^`\r\n]+`/),

    doc_comment: ($) => token(prec(1, /##[^\r\n]*/)),
    comment: ($) => token(/#[^\r\n]*/),
  },
});

/** What is compared, and what it is compared with: one after the other, from the left. */
function compared($, ...rest) {
  return prec.left(PREC.compare, seq(field("left", $._comparand), ...rest));
}
