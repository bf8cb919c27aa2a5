(function_declaration) @function.outer
(function_declaration body: (_) @function.inner)

[(flow_declaration) (source_declaration) (table_declaration) (sink_declaration)] @class.outer
(source_declaration body: (_) @class.inner)
(table_declaration body: (_) @class.inner)
(sink_declaration body: (_) @class.inner)

(test_declaration) @block.outer
(test_declaration body: (_) @block.inner)

(parameters (parameter) @parameter.inner)
[(assignment) (sort_key) (rename) (named_argument) (struct_field) (column) (rule)] @parameter.outer
(assignment value: (_) @parameter.inner)

[
  (where_step) (extend_step) (select_step) (drop_step) (rename_step) (expect_step) (join_step) (aggregate_step) (dedup_step)
  (top_step) (sort_step) (limit_step) (union_step) (explode_step)
] @statement.outer

(if_expression) @conditional.outer
(match_expression) @conditional.outer
(call_expression) @call.outer

[(comment) (doc_comment)] @comment.outer
