-- SPDX-License-Identifier: MIT
--
-- Where things are when nobody says: the control socket and the state directory, for `run` and for the commands that
-- talk to it.

local places = {}

local SYSTEM_CONTROL = "/run/moongate.sock"

---`path` as seen from `directory`.
---@param directory string
---@param path string
---@return string
function places.join(directory, path)
  if path:sub(1, 1) == "/" or directory == "." or directory == "" then
    return path
  end
  return (directory:gsub("/*$", "")) .. "/" .. path
end

local function set(value)
  return value and value:sub(1, 1) == "/" and value or nil
end

---The control socket that `run` makes; nil when there is no place for it.
---@param root boolean
---@param variables table<string, string>
---@return string?
function places.control(root, variables)
  if root then
    return SYSTEM_CONTROL
  end
  local directory = set(variables.XDG_RUNTIME_DIR)
  return directory and places.join(directory, "moongate.sock")
end

---Where the commands look for it, in order.
---@param variables table<string, string>
---@return string[]
function places.controls(variables)
  return { SYSTEM_CONTROL, places.control(false, variables) }
end

---@param root boolean
---@param variables table<string, string>
---@return string?
function places.state(root, variables)
  if root then
    return "/var/lib/moongate"
  end
  local home = set(variables.HOME)
  local directory = set(variables.XDG_STATE_HOME) or (home and places.join(home, ".local/state"))
  return directory and places.join(directory, "moongate")
end

return places
