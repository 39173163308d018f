-- SPDX-License-Identifier: MIT
--
-- The forms in which the admin interface answers: plain text, JSON, and what went wrong as JSON.

local json = require "moongate.json"

local answers = {}

function answers.plain(status, text)
  return { status = status, body = text, headers = { ["Content-Type"] = "text/plain; charset=utf-8" } }
end

function answers.json(status, value, headers)
  headers = headers or {}
  headers["Content-Type"] = "application/json"
  return { status = status, body = json.encode(value) .. "\n", headers = headers }
end

--- `more`: further fields beside `error`.
function answers.fault(status, message, headers, more)
  local value = { error = { status = status, message = message } }
  for name, field in pairs(more or {}) do
    value[name] = field
  end
  return answers.json(status, value, headers)
end

return answers
