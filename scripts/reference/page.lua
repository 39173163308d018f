-- SPDX-License-Identifier: MIT
--
-- docs/reference.md: a section for each table of the schema, a line for each field.

local hints = require "moongate.schema.hints"
local kinds = require "scripts.reference.kinds"

local page = {}

local HEAD = [[
# Reference

Every field of [`moongate.lua`](#the-config-moongatelua) and of [a route](#a-route), as the schema has it. What they are
for is told in [config.md](config.md) and [routes.md](routes.md). `./dev docs` writes this page from
`lua/moongate/schema.lua`.

| word | is |
|---|---|
| duration | seconds: a number, or `"500ms"`, `"90s"`, `"5m"`, `"4h"`, `"30d"`; `0` and `false` are off |
| size | bytes: a number, or `"64k"`, `"1m"`, `"2g"` |
| list | a table of values; a single value stands for a list of one |
| glob | `*` is any text, `?` any one character |
| network | `"10.0.0.0/8"`, `"2001:db8::/32"` |
| target | `"host:port"`, `"unix:/path"`, or `{ host =, port = }` |

**later**: the field is a later version's. *Refused* ones are faults; those with *no effect yet* are accepted, with a
warning.
]]

local function cell(text)
  return (text:gsub("|", "\\|"))
end

local function sentence(descriptor)
  local words = descriptor.doc
  if descriptor.example_value then
    words = ("%s. Example: `%s`"):format(words, descriptor.example_value)
  end
  if descriptor.since then
    words = ("%s. Since %s"):format(words, descriptor.since)
  end
  if descriptor.enum_later then
    local list = {}
    for i, word in ipairs(descriptor.enum_later) do
      list[i] = ('`"%s"`'):format(word)
    end
    words = ("%s. **later**, refused: %s"):format(words, table.concat(list, ", "))
  end
  if descriptor.type == "unsupported" then
    local instead = descriptor.instead and (" (%s)"):format((descriptor.instead:gsub(" %(remove it%)", ""))) or ""
    words = ("**later**, refused: %s%s"):format(words, instead)
  elseif descriptor.later then
    words = ("**later**, %s: %s"):format(descriptor.later == "warn" and "no effect yet" or "refused", words)
  end
  return words
end

local function default_of(descriptor)
  if descriptor.required then
    return "required"
  elseif descriptor.inherited then
    return "the config's"
  elseif descriptor.default == nil or descriptor.default == "" then
    return ""
  end
  return "`" .. kinds.literal(descriptor.default) .. "`"
end

local function row(path, descriptor)
  local kind = descriptor.type == "unsupported" and "" or kinds.words(descriptor)
  return ("| `%s` | %s | %s | %s |"):format(path, cell(kind), cell(default_of(descriptor)), cell(sentence(descriptor)))
end

-- The anchor that a page's reader makes of a heading `path`.
local function anchor(path)
  return "#" .. path:lower():gsub("[^%w_ -]", ""):gsub(" ", "-")
end

local function heading(prefix, path)
  return prefix .. " " .. path
end

-- options.prefix: what a heading begins with, "config" or "route".
local function section(lines, options, path, descriptor, level)
  local tables = {}
  lines[#lines + 1] = "| field | type | default | |"
  lines[#lines + 1] = "|---|---|---|---|"
  for _, name in ipairs(hints.names(descriptor.fields)) do
    local field = descriptor.fields[name]
    local whole = path and path .. "." .. name or name
    if kinds.is_table(field) then
      local to = anchor(heading(options.prefix, whole))
      lines[#lines + 1] = ("| `%s` | [table](%s) | | %s |"):format(whole, to, cell(field.doc))
      tables[#tables + 1] = { whole, field }
    else
      lines[#lines + 1] = row(whole, field)
    end
  end
  lines[#lines + 1] = ""
  for _, pair in ipairs(tables) do
    lines[#lines + 1] = ("%s %s"):format(("#"):rep(level), heading(options.prefix, "`" .. pair[1] .. "`"))
    lines[#lines + 1] = ""
    lines[#lines + 1] = pair[2].doc .. (pair[2].doc:find "%.$" and "" or ".")
    lines[#lines + 1] = ""
    section(lines, options, pair[1], pair[2], level)
  end
end

function page.write(schema)
  local lines = { HEAD, "## The config, `moongate.lua`", "" }
  section(lines, { prefix = "config" }, nil, schema.config, 3)
  lines[#lines + 1] = "## A route"
  lines[#lines + 1] = ""
  section(lines, { prefix = "route" }, nil, schema.route, 3)
  return (table.concat(lines, "\n"):gsub("\n+$", "\n"))
end

return page
