vim.filetype.add({ extension = { nn = "nn" } })
