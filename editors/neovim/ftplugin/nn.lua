vim.bo.commentstring = "// %s"
vim.bo.comments = ":///,://"
vim.bo.shiftwidth = 2
vim.bo.softtabstop = 2
vim.bo.expandtab = true
vim.bo.textwidth = 100
-- `:make` checks the file, `gq` over all of it formats.
vim.bo.makeprg = "nnc check --message-format short %"
vim.bo.errorformat = "%f:%l:%c: %trror[%m,%f:%l:%c: %tarning[%m"
vim.bo.formatprg = "nnc fmt -"
