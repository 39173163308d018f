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

local byte, char, find, sub = string.byte, string.char, string.find, string.sub

local NEWLINE, SPACE, DASH, DOT, BRACKET = byte("\n -.[", 1, 5)
local BLANK = {} -- those of %s
local STARTS = {} -- what begins with a byte: "name", "digit" or "quote"
for code = 0, 255 do
  local character = char(code)
  BLANK[code] = character:find("^%s") and true
  STARTS[code] = character:find("^[%a_\128-\255]") and "name"
    or character:find("^%d") and "digit"
    or character:find("^[\"']") and "quote"
    or nil
end

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

-- To what is neither blank nor comment: its first byte, or nil at the end. Most blanks are one, or the end of a line
-- and the indent behind it.
local function skip_blanks(self)
  local source, position = self.source, self.position
  while true do
    local first = byte(source, position)
    if first == SPACE then
      position = position + 1
    elseif first == NEWLINE then
      self.line = self.line + 1
      position = find(source, "[^ ]", position + 1) or #source + 1
    elseif first == DASH and byte(source, position + 1) == DASH then
      self.position = position
      local _, behind = long_bracket(source, position + 2)
      go_to(self, behind or find(source, "\n", position, true) or #source + 1)
      position = self.position
    elseif first and BLANK[first] then
      position = position + 1
    else
      self.position = position
      return first
    end
  end
end

-- The character that an escape at `position`, behind its backslash, stands for, and the position behind it.
local function escape(source, position)
  local digits = source:match("^%d%d?%d?", position)
  if digits then
    return char(tonumber(digits) % 256), position + #digits
  end
  local hex = source:match("^x(%x%x)", position)
  if hex then
    return char(tonumber(hex, 16)), position + 3
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
  local quote = sub(source, position, position)
  local stop = quote == '"' and '["\\\n]' or "['\\\n]"
  local ending = find(source, stop, position + 1)
  if ending and sub(source, ending, ending) == quote then -- most are plain
    return sub(source, position + 1, ending - 1), ending + 1
  end
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

local OPERATORS = { "^%.%.%.", "^[=~<>]=", "^%.%.", "^::" }

-- Of which more than one byte may be an operator.
local LONG = { ["."] = true, ["="] = true, ["~"] = true, ["<"] = true, [">"] = true, [":"] = true }

local function operator(source, position, first)
  local single = char(first)
  for i = 1, LONG[single] and #OPERATORS or 0 do
    local long = source:match(OPERATORS[i], position)
    if long then
      return long
    end
  end
  return single
end

-- The token that begins with the byte `first`: its kind and value, and the position behind it.
local function read(source, position, first)
  local starts = STARTS[first]
  if starts == "name" then
    local _, last, name = find(source, "^([%w_\128-\255]*)", position)
    return "name", name, last + 1
  elseif starts == "quote" then
    return "string", quoted(source, position)
  elseif starts == "digit" or (first == DOT and find(source, "^%d", position + 1)) then
    local last = number_end(source, position)
    return "number", tonumber(sub(source, position, last)), last + 1
  elseif first == BRACKET then
    local text, behind = long_bracket(source, position)
    if text then
      return "string", text, behind
    end
  end
  local value = operator(source, position, first)
  return "operator", value, position + #value
end

---@param token moongate.Token? that is filled anew, since thousands of them are read; nil: a new one
---@return moongate.Token the next one; for ever the end, once it is reached
function Lexer:next(token)
  token = token or {}
  local first = skip_blanks(self)
  token.line = self.line
  if not first then
    token.kind, token.value = "end", nil
    return token
  end
  local kind, value, behind = read(self.source, self.position, first)
  token.kind, token.value = kind, value
  if kind == "string" then
    go_to(self, behind)
  else
    self.position = behind
  end
  return token
end

return Lexer
