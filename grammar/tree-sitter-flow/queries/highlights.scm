; Each node is captured by one pattern, so that it does not matter whether the first or the last match counts: editors differ there.

(comment) @comment
(doc_comment) @comment.documentation

; Declarations

["use" "param" "source" "table" "fn" "flow" "sink" "test"] @keyword

(param_declaration name: (_) @variable.parameter)
(source_declaration name: (_) @variable)
(table_declaration name: (_) @variable)
(flow_declaration name: (_) @variable)
(sink_declaration name: (_) @variable)
(function_declaration name: (_) @function)
(parameter name: (_) @variable.parameter)
(connector name: (_) @function)
(flow_reference name: (_) @variable)
(flow_reference output: (_) @variable.member)
(named_argument name: (_) @variable.parameter)

; Steps

["where" "extend" "select" "drop" "rename" "expect" "join" "aggregate" "dedup" "top" "sort" "limit" "union" "explode"] @keyword
["left" "right" "full" "semi" "anti" "on" "within" "by" "window" "late" "per" "of"] @keyword
["asc" "desc" "nulls" "first" "last"] @keyword
["unique" "warn" "quarantine" "fail" "repair"] @keyword

(assignment name: (_) @variable.member)
(rename name: (_) @variable.member)
(rename value: (_) @variable.member)
(drop_step (identifier) @variable.member)
(drop_step (quoted_name) @variable.member)
(explode_step name: (_) @variable.member)
(join_step alias: (_) @variable)
(rule name: (_) @label)
(window_clause kind: (_) @function.call)

; Blocks

["schema" "event_time" "watermark" "idle" "changes" "from" "sequence" "ignore" "updates" "malformed" "start" "version"] @keyword
["mode" "append" "overwrite" "merge" "scd2" "partition" "constraint" "properties"] @keyword
(evolve_clause) @keyword
["given" "error" "at" "advance" "to"] @keyword

(column name: (_) @variable.member)
(event_time_clause name: (_) @variable.member)
(changes_clause (identifier) @variable.member)
(changes_clause (quoted_name) @variable.member)
(mode_clause (identifier) @variable.member)
(mode_clause (quoted_name) @variable.member)
(constraint_clause name: (_) @label)
(given_param_clause name: (_) @variable.parameter)
(then_error_clause code: (_) @constant)

; Types

(named_type (_) @type.builtin)
(sized_type name: (_) @type.builtin)
["array" "map" "struct"] @type.builtin
(nullable) @operator

; Expressions

["if" "then" "else" "match"] @keyword.conditional
["and" "or" "not" "in" "is" "as" "like" "matches" "between" "div"] @keyword.operator
["|>" "->" "=>" "=" "==" "!=" "<" "<=" ">" ">=" "??" "+" "-" "*" "/" "%" "|"] @operator
["," ":" "."] @punctuation.delimiter
["(" ")" "[" "]"] @punctuation.bracket

(reference (_) @variable)
(call_expression function: (_) @function.call)
(field_expression field: (_) @variable.member)
(struct_field name: (_) @variable.member)
(wildcard) @variable.builtin

; Braces are brackets, but for those round a value in a string.
(interpolation ["{" "}"] @punctuation.special)
(schema_clause ["{" "}"] @punctuation.bracket)
(source_body ["{" "}"] @punctuation.bracket)
(sink_body ["{" "}"] @punctuation.bracket)
(test_body ["{" "}"] @punctuation.bracket)
(properties_clause ["{" "}"] @punctuation.bracket)
(expect_step ["{" "}"] @punctuation.bracket)
(match_expression ["{" "}"] @punctuation.bracket)
(struct ["{" "}"] @punctuation.bracket)

; Literals

(boolean) @boolean
["null"] @constant.builtin
[(integer) (duration)] @number
[(double) (decimal) (percent)] @number.float
(temporal) @string.special.temporal
(raw_string) @string.regexp
(string "\"" @string)
(string_content) @string
(escape_sequence) @string.escape
