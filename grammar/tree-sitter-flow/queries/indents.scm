; Blocks and brackets

[
  (source_body)
  (sink_body)
  (test_body)
  (schema_clause)
  (properties_clause)
  (expect_step)
  (match_expression)
  (array)
  (struct)
  (parameters)
  (parenthesized_expression)
  (connector)
  (call_expression)
] @indent.begin

["}" "]" ")"] @indent.end @indent.branch

; Steps stand one level in, below their flow.

(flow_declaration) @indent.begin

(comment) @indent.ignore
(doc_comment) @indent.ignore
