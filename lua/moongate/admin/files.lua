-- SPDX-License-Identifier: MIT
--
-- The route files over the API: what has become of each, reloading, writing and deleting one. What is done happens
-- behind moongate.native; who may ask for it is decided before.

local answers = require "moongate.admin.answers"
local json = require "moongate.json"
local native = require "moongate.native"

local files = {}

local LONGEST_NAME = 128 -- with room for what is written aside, within the 255 bytes of a file's name

--- Lists stay lists when they are empty.
function files.as_json(list)
  list = json.list(list)
  for _, file in ipairs(list) do
    file.faults, file.warnings = json.list(file.faults), json.list(file.warnings)
  end
  return list
end

--- nil when `name` may be a route file's; else what is wrong with it.
function files.fault_of_name(name)
  if name:find "[^%w%-_.]" or name == "" then
    return "a file's name has letters, digits, '-', '_' and '.' only"
  elseif name:sub(1, 1) == "." then
    return "a file's name does not begin with '.': such files are not read"
  elseif name:sub(-4) ~= ".lua" then
    return "a route file's name ends in .lua"
  elseif #name > LONGEST_NAME then
    return ("a file's name has at most %d characters"):format(LONGEST_NAME)
  end
  return nil
end

-- What the call answers; or nil and a response, when there is nothing behind it: moongate is starting or stopping.
local function call(fn, ...)
  local done, answer = pcall(fn, ...)
  if done then
    return answer
  elseif tostring(answer):find("not running", 1, true) then
    return nil, answers.fault(503, "moongate is starting or stopping: nothing can be changed now")
  end
  error(answer, 0)
end

function files.list()
  local list, failure = call(native.ask, "files")
  return failure or answers.json(200, { files = files.as_json(list) })
end

function files.reload()
  local answer, failure = call(native.reload)
  if failure then
    return failure
  end
  for _, field in ipairs { "changed", "removed", "faults", "warnings", "notes" } do
    answer[field] = json.list(answer[field])
  end
  answer.ok = answer.ok and #answer.faults == 0
  local status = answer.status or answer.ok and 200 or 422
  answer.status = nil
  if status == 503 then -- no round was made, or its end is not waited for
    answer.error = { status = status, message = answer.faults[1].message }
  elseif not answer.ok then
    answer.error = { status = status, message = "there are faults; what has none is live, the rest is as it was" }
  end
  return answers.json(status, answer)
end

local function as_response(name, answer)
  local status = answer.status or 500
  local more = {
    file = name,
    generation = answer.generation,
    faults = answer.faults and json.list(answer.faults),
    warnings = answer.warnings and json.list(answer.warnings),
  }
  if status >= 400 then
    return answers.fault(status, answer.message or "it could not be done; the log says why", nil, more)
  end
  more.message = answer.message
  return answers.json(status, more)
end

--- `request.body` becomes the route file `name`, a valid one.
function files.put(request, name)
  local answer, failure = call(native.put_file, { name = name, text = request.body or "" })
  if failure then
    return failure
  end
  answer.faults = answer.faults or {}
  return as_response(name, answer)
end

function files.delete(_, name)
  local answer, failure = call(native.delete_file, name)
  return failure or as_response(name, answer)
end

return files
