; Zed cannot cut the quotes off a raw string (`#offset!`), so that regular expressions stay strings.
([(comment) (doc_comment)] @injection.content
  (#set! injection.language "comment"))
