-- SPDX-License-Identifier: MIT
--
-- Stopping over the API: begun at once, answered when the last connection is gone. Who may ask is decided before.

local answers = require "moongate.admin.answers"
local native = require "moongate.native"
local query = require "moongate.admin.query"

local drain = {}

local KINDS = { timeout = query.seconds }

function drain.answer(request)
  local values, wrong = query.read(request, KINDS)
  if not values then
    return answers.fault(400, wrong)
  end
  local done, result = pcall(native.drain, values.timeout)
  if not done and tostring(result):find("not running", 1, true) then
    return answers.fault(503, "moongate is starting or stopping: nothing can be changed now")
  elseif not done then
    error(result, 0)
  elseif result.error then
    return answers.fault(result.status, result.error)
  end
  return answers.json(200, { cut = result.cut, seconds = result.seconds })
end

return drain
