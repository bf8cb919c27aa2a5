[
  (source_body)
  (sink_body)
  (test_body)
  (schema_clause)
  (properties_clause)
  (flow_declaration)
  (expect_step)
  (match_expression)
  (array)
  (struct)
  (parameters)
] @fold
