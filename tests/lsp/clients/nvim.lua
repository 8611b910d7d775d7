-- Neovim's own client against `nnc lsp`: run with `nvim --headless -u NONE -l` or `-c luafile`. Prints one line a result.
local function say(what, value)
  io.stdout:write(what .. ": " .. value .. "\n")
end

local file = vim.env.NNC_TEST_FILE
vim.cmd("edit " .. vim.fn.fnameescape(file))
local buffer = vim.api.nvim_get_current_buf()
local client_id = vim.lsp.start_client({
  name = "nnc",
  cmd = { vim.env.NNC_TEST_SERVER, "lsp" },
  root_dir = vim.fn.fnamemodify(file, ":h"),
})
vim.lsp.buf_attach_client(buffer, client_id)
vim.wait(20000, function()
  local client = vim.lsp.get_client_by_id(client_id)
  return client ~= nil and client.initialized
end, 10)
local client = vim.lsp.get_client_by_id(client_id)
say("initialized", tostring(client ~= nil and client.initialized or false))

local function request(method, params)
  local got = vim.lsp.buf_request_sync(buffer, method, params, 20000)
  return got and got[client_id] and got[client_id].result
end

local document = { uri = vim.uri_from_bufnr(buffer) }
local function position(pattern, offset)
  for number, line in ipairs(vim.api.nvim_buf_get_lines(buffer, 0, -1, false)) do
    local at = line:find(pattern, 1, true)
    if at then
      local _, units = vim.str_utfindex(line, at - 1 + (offset or 0))
      return { line = number - 1, character = units }
    end
  end
end

vim.wait(20000, function() return #vim.diagnostic.get(buffer) > 0 end, 10)
for _, d in ipairs(vim.diagnostic.get(buffer)) do
  say("diagnostic", d.lnum .. " " .. tostring(d.code) .. " " .. d.message:gsub("\n.*", ""))
end

local hover = request("textDocument/hover", { textDocument = document, position = position("h = flat") })
say("hover", hover and hover.contents.value:gsub("\n", " ") or "none")

local items = request("textDocument/completion", { textDocument = document, position = position("|> relu", 5) })
local labels = {}
for _, item in ipairs(items and (items.items or items) or {}) do labels[item.label] = true end
say("completion", tostring(labels["relu"] or false))

local edit = request("textDocument/rename", {
  textDocument = document, position = position("h = flat"), newName = "renamed",
})
if edit then vim.lsp.util.apply_workspace_edit(edit, "utf-16") end
for _, line in ipairs(vim.api.nvim_buf_get_lines(buffer, 0, -1, false)) do
  if line:find("renamed", 1, true) then say("renamed", vim.trim(line)) end
end

local format = request("textDocument/formatting", { textDocument = document, options = { tabSize = 2, insertSpaces = true } })
if format and #format > 0 then vim.lsp.util.apply_text_edits(format, buffer, "utf-16") end
say("formatted", vim.trim(table.concat(vim.api.nvim_buf_get_lines(buffer, 0, 1, false), " ")))

vim.lsp.stop_client(client_id)
vim.wait(5000, function() return vim.lsp.get_client_by_id(client_id) == nil end, 10)
vim.cmd("qall!")
