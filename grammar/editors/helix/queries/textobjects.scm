(function_declaration body: (_) @function.inside) @function.around
(flow_declaration) @class.around
(source_declaration body: (_) @class.inside) @class.around
(sink_declaration body: (_) @class.inside) @class.around
(test_declaration body: (_) @test.inside) @test.around
(parameter) @parameter.inside
(assignment value: (_) @parameter.inside) @parameter.around
[(comment) (doc_comment)] @comment.around
