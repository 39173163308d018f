-- SPDX-License-Identifier: MIT
--
-- What stands behind the "?" of a call: decoded, checked against what the call knows, and turned into values.

local text = require "moongate.text"

local query = {}

local function decode(word)
  return (word:gsub("+", " "):gsub("%%(%x%x)", function(digits)
    return string.char(tonumber(digits, 16))
  end))
end

--- A word as it may stand in a query.
function query.encode(word)
  return (tostring(word):gsub("[^%w%-%._~]", function(byte)
    return ("%%%02X"):format(byte:byte())
  end))
end

--- Kinds of values: each returns the value, or nil and what was expected.
function query.text_of(most)
  return function(word)
    if word:find("%z") or #word > most then
      return nil, ("a text of at most %d characters, without NUL"):format(most)
    end
    return word
  end
end

query.text = query.text_of(1024)

function query.number(least, most)
  return function(word)
    local number = tonumber(word:match "^%d+$")
    if not number or number < least or number > most then
      return nil, ("a whole number from %d to %d"):format(least, most)
    end
    return number
  end
end

function query.seconds(word)
  local ms = text.duration(tonumber(word) or word)
  if not ms then
    return nil, 'a duration such as "60s" or "5m"'
  end
  return ms / 1000
end

function query.flag(word)
  if word == "1" or word == "true" or word == "" then
    return true
  elseif word == "0" or word == "false" then
    return false
  end
  return nil, "1 or 0"
end

function query.one_of(...)
  local words = { ... }
  return function(word)
    for _, known in ipairs(words) do
      if word == known then
        return word
      end
    end
    return nil, "one of " .. table.concat(words, ", ")
  end
end

local function refuse_name(name, kinds)
  local known = {}
  for word in pairs(kinds) do
    known[#known + 1] = word
  end
  table.sort(known)
  local nearest = text.nearest(name, known)
  local hint = nearest and ("did you mean %s?"):format(nearest) or "there are " .. table.concat(known, ", ")
  return nil, ("there is no parameter %s: %s"):format(text.show(name), hint)
end

--- The values of a request's query by name, `kinds` says how each is read; or nil and what is wrong.
function query.read(request, kinds)
  local values = {}
  for pair in (request.query or ""):gmatch "[^&]+" do
    local name, word = pair:match "^([^=]*)=?(.*)$"
    name, word = decode(name), decode(word)
    if not kinds[name] then
      return refuse_name(name, kinds)
    elseif values[name] ~= nil then
      return nil, ("%s is given twice"):format(name)
    end
    local value, expected = kinds[name](word)
    if value == nil then
      return nil, ("%s: expected %s, got %s"):format(name, expected, text.show(word))
    end
    values[name] = value
  end
  return values
end

return query
