; Parameters of a function, so that they are coloured as such where they are used. Helix knows no scope of a definition but the one it stands in.
(function_declaration) @local.scope

(parameter name: (_) @local.definition.variable.parameter)

(reference (_) @local.reference)
