; What `matches` searches for is a regular expression, and most raw strings are.
((raw_string) @injection.content
  (#set! injection.language "regex")
  (#offset! @injection.content 0 2 0 -1))

([(comment) (doc_comment)] @injection.content
  (#set! injection.language "comment"))
