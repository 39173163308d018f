-- SPDX-License-Identifier: MIT
--
-- What stands in the loader's copy of a user's table where something stood that is no plain data: a function, a
-- userdata. The loader's C side makes them with this metatable; no copied table has one, so they can't be forged.

local mark = { metatable = {} }

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

return mark
