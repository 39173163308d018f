-- SPDX-License-Identifier: MIT
--
-- What the questions of the API share: reading a page's parameters, asking native, and the answer in which workers may
-- have no part.

local answers = require "moongate.admin.answers"
local json = require "moongate.json"
local native = require "moongate.native"
local query = require "moongate.admin.query"

local asking = {}

local LIMIT = 1000
asking.MOST = 2000

---The parameters of a list, with those of its page.
---@param kinds table<string, function>
function asking.paged(kinds)
  kinds.limit, kinds.offset = query.number(0, asking.MOST), query.number(0, 2 ^ 40)
  return kinds
end

---What a request asks for, with a page; or nil and the response that refuses.
---@param request table
---@param kinds table<string, function>
function asking.read(request, kinds)
  local wanted, wrong = query.read(request, kinds)
  if not wanted then
    return nil, answers.fault(400, wrong)
  end
  wanted.limit, wanted.offset = wanted.limit or LIMIT, wanted.offset or 0
  return wanted
end

---What fn says, or nil and the response that refuses: { error =, status = } of its own, or an error raised while
---moongate starts or stops.
---@param fn function one of native's
function asking.call(fn, ...)
  local done, answer = pcall(fn, ...)
  if not done then
    if tostring(answer):find("not running", 1, true) then
      return nil, answers.fault(503, "moongate is starting or stopping")
    end
    error(answer, 0)
  elseif answer.error then
    return nil, answers.fault(answer.status, answer.error, nil, { ports = answer.ports and json.list(answer.ports) })
  end
  return answer
end

---The same of native.ask(). `names`: what a field of its records is called here, where that is not its name.
---@param question string
---@param arguments table
---@param names? table<string, string>
function asking.ask(question, arguments, names)
  return asking.call(function()
    local answer = native.ask(question, arguments)
    local field = answer.error and answer.error:match "^[%w_]+"
    if field and names and names[field] then
      answer.error = names[field] .. answer.error:sub(#field + 1)
    end
    return answer
  end)
end

---The list in an answer that workers have a part in: if one has no part in this one, why, as far as that is known.
---@param answer table
---@param list string
function asking.finish(answer, list)
  answer[list] = json.list(answer[list])
  if not answer.complete then
    answer.stuck = json.list(native.ask("readiness").stuck)
  end
  return answers.json(200, answer)
end

return asking
