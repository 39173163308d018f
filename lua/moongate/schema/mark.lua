-- SPDX-License-Identifier: MIT
--
-- What stands in the loader's copy of a user's table where something stood that is no plain data: a function, a
-- userdata. The loader's C side makes them with this metatable; no copied table has one, so they can't be forged. And
-- which line of the file made a route, where a helper of moongate.route did: the loader keeps it by the copy.

local mark = { metatable = {}, lines = setmetatable({}, { __mode = "k" }) }

-- A moongate.regex becomes one of kind "regex", with `pattern` and `flags`.

---@param kind string what type() said of the original
function mark.new(kind)
  return setmetatable({ kind = kind }, mark.metatable)
end

---The type of what stood there; nil for plain data.
---@param value any
---@return string?
function mark.kind(value)
  return getmetatable(value) == mark.metatable and value.kind or nil
end

---Which function of moongate.handlers stood there, uncalled; nil: none of them.
---@param value any
---@return string?
function mark.maker(value)
  return getmetatable(value) == mark.metatable and value.maker or nil
end

---The line of the call that made a table; nil: none of moongate.route's did.
---@param value any
---@return integer?
function mark.line(value)
  return mark.lines[value]
end

return mark
