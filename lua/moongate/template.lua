-- SPDX-License-Identifier: MIT
--
-- Texts with variables in braces, such as "https://{domain}{path}". It owns the names of the variables and how they are
-- put in; where their values come from, and what a text may say, is its caller's.

local text = require "moongate.text"

local error, ipairs, pairs, tostring = error, ipairs, pairs, tostring
local concat, sort = table.concat, table.sort

local template = {}

-- Those fields of a connection's and of a request's context that are texts or numbers.
local VARIABLES = {
  client_ip = true, client_port = true, connection_id = true, domain = true, path = true, path_match = true,
  path_remainder = true, port = true, query = true, route = true, time = true, tls_version = true,
}

local function known()
  local names = {}
  for name in pairs(VARIABLES) do
    names[#names + 1] = name
  end
  sort(names)
  return names
end

-- Raises what is wrong with a variable of that name.
local function refuse(name)
  local names = known()
  local near = text.nearest(name, names)
  local hint = near and ("did you mean {%s}?"):format(near) or "known are {" .. concat(names, "}, {") .. "}"
  error(("there is no variable {%s}: %s"):format(name, hint), 0)
end

--- A compiled text: a list of literals (strings) and variables ({ name = … }). Raises what is wrong with it.
---@param source string
function template.compile(source)
  local parts, at = {}, 1
  while at <= #source do
    local brace = source:find("[{}]", at)
    if not brace then
      break
    end
    local name, behind = source:match("^{([%w_]+)}()", brace)
    if not name then
      error(("the brace at character %d stands alone: variables are written {domain}"):format(brace), 0)
    elseif not VARIABLES[name] then
      refuse(name)
    end
    if brace > at then
      parts[#parts + 1] = source:sub(at, brace - 1)
    end
    parts[#parts + 1], at = { name = name }, behind
  end
  if at <= #source then
    parts[#parts + 1] = source:sub(at)
  end
  return parts
end

--- Whether the compiled text has the variable.
function template.has(parts, name)
  for _, part in ipairs(parts) do
    if part.name == name then
      return true
    end
  end
  return false
end

--- The text with its variables put in: `value(name)` gives one, nil is empty.
---@param parts table
---@param value fun(name: string): string|number|nil
---@return string
function template.expand(parts, value)
  local made = {}
  for i, part in ipairs(parts) do
    if part.name then
      local given = value(part.name)
      made[i] = given == nil and "" or tostring(given)
    else
      made[i] = part
    end
  end
  return concat(made)
end

return template
