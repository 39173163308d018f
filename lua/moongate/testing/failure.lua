-- SPDX-License-Identifier: MIT
--
-- What went wrong in a handler, kept until the test can be told: the error as busted knows it (a failed assertion stays
-- one), with the handler's own line and traceback.

local failure = {}

local INNER = { "^%[C%]", "/luassert/", "/busted/", "^moongate/" }

local function is_inner(source)
  for _, pattern in ipairs(INNER) do
    if source:find(pattern) then
      return true
    end
  end
  return false
end

-- "spec/line_spec.lua:12: ", of the function that raised.
local function where(level)
  for at = level + 1, level + 50 do
    local info = debug.getinfo(at, "Sl")
    if not info then
      return ""
    elseif info.currentline > 0 and not is_inner(info.short_src) then
      return ("%s:%d: "):format(info.short_src, info.currentline)
    end
  end
  return ""
end

---For xpcall.
function failure.catch(raised)
  return { raised = raised, where = where(2), traceback = debug.traceback("", 2):gsub("^%s*stack traceback:\n", "") }
end

---What is raised in the test. `what` raised it: by default the handler.
function failure.describe(caught, what)
  local raised = caught.raised
  local text = type(raised) == "table" and getmetatable(raised) == nil and raised.message or tostring(raised)
  text = tostring(text)
  if not text:find("^[^\n]-:%d+: ") then
    text = caught.where .. text
  end
  text = ("%s\n(raised in %s)\n%s"):format(text, what or "the handler", caught.traceback)
  local metatable = type(raised) == "table" and getmetatable(raised)
  if metatable and metatable.__type == "failure" then
    return setmetatable({ message = text }, metatable)
  end
  return text
end

return failure
