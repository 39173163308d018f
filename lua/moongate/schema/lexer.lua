-- SPDX-License-Identifier: MIT
--
-- Lua source to tokens, each with its line, as LuaJIT reads it. It knows no grammar: that much of it as is needed is in
-- schema/lines.lua. It is meant for text that compiles; of other text it makes some tokens, and comes to an end.

---@class moongate.Token
---@field kind "name"|"string"|"number"|"operator"|"end" keywords are names
---@field value string|number|nil of a string or a number what it stands for; nil for the end
---@field line integer where it begins

---@class moongate.Lexer
---@field source string
---@field position integer of what comes next
---@field line integer
local Lexer = {}
Lexer.__index = Lexer

local ESCAPES = { a = "\a", b = "\b", f = "\f", n = "\n", r = "\r", t = "\t", v = "\v" }

---@param source string
---@return moongate.Lexer
function Lexer.new(source)
  if source:find("\r", 1, true) then
    source = source:gsub("\r\n", "\n"):gsub("\n\r", "\n"):gsub("\r", "\n")
  end
  local position = source:find("^\239\187\191") and 4 or 1
  if source:find("^#", position) then
    position = source:find("\n", position, true) or #source + 1
  end
  return setmetatable({ source = source, position = position, line = 1 }, Lexer)
end

-- Goes on at `position`, and counts the lines on the way there.
local function go_to(self, position)
  local at = self.source:find("\n", self.position, true)
  while at and at < position do
    self.line = self.line + 1
    at = self.source:find("\n", at + 1, true)
  end
  self.position = position
end

-- The text between long brackets that open at `position`, and the position behind them; nil when none open there.
local function long_bracket(source, position)
  local level = source:match("^%[(=*)%[", position)
  if not level then
    return nil
  end
  local start = position + #level + 2
  local first, last = source:find("]" .. level .. "]", start, true)
  local text = source:sub(start, (first or #source + 1) - 1)
  return (text:gsub("^\n", "")), (last or #source) + 1
end

local function skip_blanks(self)
  local source = self.source
  while true do
    local _, last = source:find("^%s+", self.position)
    if last then
      go_to(self, last + 1)
    end
    if source:sub(self.position, self.position + 1) ~= "--" then
      return
    end
    local _, behind = long_bracket(source, self.position + 2)
    go_to(self, behind or source:find("\n", self.position, true) or #source + 1)
  end
end

-- The character that an escape at `position`, behind its backslash, stands for, and the position behind it.
local function escape(source, position)
  local digits = source:match("^%d%d?%d?", position)
  if digits then
    return string.char(tonumber(digits) % 256), position + #digits
  end
  local hex = source:match("^x(%x%x)", position)
  if hex then
    return string.char(tonumber(hex, 16)), position + 3
  end
  local point = source:match("^u(%b{})", position)
  if point then
    return "\\u" .. point, position + 1 + #point -- no field is called like that
  end
  local character = source:sub(position, position)
  if character == "z" then
    return "", source:find("[^%s]", position + 1) or #source + 1
  end
  return ESCAPES[character] or character, position + 1
end

-- A string in quotes that begins at `position`: what it stands for, and the position behind it.
local function quoted(source, position)
  local quote = source:sub(position, position)
  local stop = quote == '"' and '["\\\n]' or "['\\\n]"
  local parts, start = {}, position + 1
  while true do
    local at = source:find(stop, start)
    parts[#parts + 1] = source:sub(start, (at or #source + 1) - 1)
    if not at then
      return table.concat(parts), #source + 1
    elseif source:sub(at, at) ~= "\\" then
      return table.concat(parts), at + 1
    end
    parts[#parts + 1], start = escape(source, at + 1)
  end
end

local function number_end(source, position)
  local _, last = source:find("^[%w_.]+", position)
  local exponent = source:find("^0[xX]", position) and "[pP]" or "[eE]"
  while source:find("^" .. exponent .. "[+-]", last) do
    local _, more = source:find("^[%w_.]*", last + 2)
    last = more
  end
  return last
end

local function token(self, kind, value, behind)
  local line = self.line
  go_to(self, behind)
  return { kind = kind, value = value, line = line }
end

---@return moongate.Token the next one; for ever the end, once it is reached
function Lexer:next()
  skip_blanks(self)
  local source, position = self.source, self.position
  if position > #source then
    return { kind = "end", line = self.line }
  end
  local _, last = source:find("^[%a_\128-\255][%w_\128-\255]*", position)
  if last then
    return token(self, "name", source:sub(position, last), last + 1)
  elseif source:find("^%.?%d", position) then
    last = number_end(source, position)
    return token(self, "number", tonumber(source:sub(position, last)), last + 1)
  elseif source:find("^[\"']", position) then
    return token(self, "string", quoted(source, position))
  end
  local text, behind = long_bracket(source, position)
  if text then
    return token(self, "string", text, behind)
  end
  local operator = source:match("^%.%.%.", position)
    or source:match("^[=~<>]=", position)
    or source:match("^%.%.", position)
    or source:match("^::", position)
    or source:sub(position, position)
  return token(self, "operator", operator, position + #operator)
end

return Lexer
