;;; flow-ts-mode.el --- Flow programs, by their tree -*- lexical-binding: t; -*-

;;; Commentary:
;; For Emacs 29 and later, with `flowc' on the path.  Once, with the directory of your clone:
;;   (require 'treesit)
;;   (add-to-list 'treesit-language-source-alist '(flow "~/flowc" nil "grammar/tree-sitter-flow/src"))
;;   (treesit-install-language-grammar 'flow)
;; Then, in your init file:
;;   (require 'flow-ts-mode)
;;   (add-hook 'flow-ts-mode-hook #'eglot-ensure)

;;; Code:

(require 'treesit)

(defvar flow-ts-mode--font-lock
  (when (treesit-available-p)
    (treesit-font-lock-rules
     :language 'flow :feature 'comment
     '((comment) @font-lock-comment-face (doc_comment) @font-lock-doc-face)
     :language 'flow :feature 'string
     '([(string) (raw_string)] @font-lock-string-face)
     :language 'flow :feature 'keyword
     '(["use" "event_time" "scd2" "param" "source" "table" "fn" "flow" "sink" "test" "where" "extend" "select" "drop" "rename" "expect"
         "join" "aggregate" "dedup" "top" "sort" "limit" "union" "explode" "left" "right" "full" "semi" "anti" "on"
         "within" "by" "window" "late" "per" "of" "asc" "desc" "nulls" "first" "last" "unique" "warn" "quarantine"
         "fail" "repair" "schema" "watermark" "idle" "changes" "from" "sequence" "ignore" "updates" "malformed" "start"
         "version" "mode" "append" "overwrite" "merge" "partition" "constraint" "properties" "given" "error" "at"
         "advance" "to" "if" "then" "else" "match" "and" "or" "not" "in" "is" "as" "like" "matches" "between" "div"]
       @font-lock-keyword-face)
     :language 'flow :feature 'definition
     '((function_declaration name: (_) @font-lock-function-name-face)
       (param_declaration name: (_) @font-lock-variable-name-face)
       (source_declaration name: (_) @font-lock-variable-name-face)
       (table_declaration name: (_) @font-lock-variable-name-face)
       (flow_declaration name: (_) @font-lock-variable-name-face)
       (sink_declaration name: (_) @font-lock-variable-name-face))
     :language 'flow :feature 'call
     '((call_expression function: (_) @font-lock-function-call-face)
       (connector name: (_) @font-lock-function-call-face))))
  "What is coloured how.")

;;;###autoload
(define-derived-mode flow-ts-mode prog-mode "flow"
  "Major mode for flow programs."
  (setq-local comment-start "# ")
  (setq-local comment-start-skip "#+ *")
  (setq-local indent-tabs-mode nil)
  (when (treesit-ready-p 'flow)
    (treesit-parser-create 'flow)
    (setq-local treesit-font-lock-settings flow-ts-mode--font-lock)
    (setq-local treesit-font-lock-feature-list '((comment definition) (keyword string) (call)))
    (treesit-major-mode-setup)))

;;;###autoload
(add-to-list 'auto-mode-alist '("\\.flow\\'" . flow-ts-mode))

(with-eval-after-load 'eglot
  (add-to-list 'eglot-server-programs '(flow-ts-mode "flowc" "lsp")))

(provide 'flow-ts-mode)
;;; flow-ts-mode.el ends here
