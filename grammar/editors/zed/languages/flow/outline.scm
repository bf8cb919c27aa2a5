(source_declaration "source" @context name: (_) @name) @item
(table_declaration "table" @context name: (_) @name) @item
(function_declaration "fn" @context name: (_) @name) @item
(flow_declaration "flow" @context name: (_) @name) @item
(sink_declaration "sink" @context name: (_) @name) @item
(test_declaration "test" @context name: (_) @name) @item
