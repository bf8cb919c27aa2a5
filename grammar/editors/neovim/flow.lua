-- Flow programs in Neovim 0.11: this file into ~/.config/nvim/lua, and `require("flow")` into init.lua.
-- Colours and folds need the grammar; in grammar/tree-sitter-flow of a clone:
--   mkdir -p ~/.config/nvim/parser ~/.config/nvim/queries/flow
--   cc -O2 -shared -fPIC -I src -o ~/.config/nvim/parser/flow.so src/parser.c src/scanner.c
--   cp queries/*.scm ~/.config/nvim/queries/flow/

vim.filetype.add({ extension = { flow = "flow" } })

vim.api.nvim_create_autocmd("FileType", {
  pattern = "flow",
  callback = function()
    vim.bo.commentstring = "# %s"
    vim.bo.expandtab = true
    vim.bo.shiftwidth = 4
    if pcall(vim.treesitter.start) then
      vim.wo.foldmethod = "expr"
      vim.wo.foldexpr = "v:lua.vim.treesitter.foldexpr()"
      vim.wo.foldlevel = 99
    end
    -- Neovim itself indents by no tree; nvim-treesitter does, where it is installed.
    if pcall(require, "nvim-treesitter") then
      vim.bo.indentexpr = "v:lua.require'nvim-treesitter'.indentexpr()"
    end
  end,
})

vim.lsp.config("flowc", { cmd = { "flowc", "lsp" }, filetypes = { "flow" }, root_markers = { "flow.lock", ".git" } })
vim.lsp.enable("flowc")
