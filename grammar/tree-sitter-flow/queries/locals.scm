(function_declaration) @local.scope
(program) @local.scope

(param_declaration name: (_) @local.definition.parameter)
(source_declaration name: (_) @local.definition.var)
(table_declaration name: (_) @local.definition.var)
(flow_declaration name: (_) @local.definition.var)
(sink_declaration name: (_) @local.definition.var)
(function_declaration name: (_) @local.definition.function (#set! definition.function.scope "parent"))
(parameter name: (_) @local.definition.parameter)

(reference (_) @local.reference)
(call_expression function: (_) @local.reference)
(flow_reference name: (_) @local.reference)
(given_param_clause name: (_) @local.reference)
