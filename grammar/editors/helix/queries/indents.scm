[
  (source_body) (sink_body) (test_body) (schema_clause) (properties_clause) (expect_step) (match_expression)
  (array) (struct) (parameters) (parenthesized_expression) (connector) (call_expression) (flow_declaration)
] @indent

["}" "]" ")"] @outdent
