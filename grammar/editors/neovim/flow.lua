-- Flow programs in Neovim: `require("flow")` from init.lua, behind nvim-treesitter. Change the directory to that of your clone.
local clone = vim.fn.expand("~/flowc")

vim.filetype.add({ extension = { flow = "flow" } })

vim.api.nvim_create_autocmd("User", {
  pattern = "TSUpdate",
  callback = function()
    require("nvim-treesitter.parsers").flow = {
      install_info = { path = clone .. "/grammar/tree-sitter-flow", queries = "queries" },
    }
  end,
})

vim.api.nvim_create_autocmd("FileType", {
  pattern = "flow",
  callback = function()
    vim.bo.commentstring = "# %s"
    vim.treesitter.start()
    vim.wo.foldmethod = "expr"
    vim.wo.foldexpr = "v:lua.vim.treesitter.foldexpr()"
  end,
})

vim.lsp.config("flowc", { cmd = { "flowc", "lsp" }, filetypes = { "flow" }, root_markers = { ".git" } })
vim.lsp.enable("flowc")
