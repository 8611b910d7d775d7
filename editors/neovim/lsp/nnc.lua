-- For Neovim 0.11 and newer: vim.lsp.enable("nnc")
return {
  cmd = { "nnc", "lsp" },
  filetypes = { "nn" },
  root_markers = { ".git" },
}
