-- SPDX-License-Identifier: MIT
--
-- The options of the commands that load a config and routes.

local loading = {}

local MAX_WORKERS = 256

local function workers(text)
  local number = tonumber(text:match("^%d+$"))
  if not number or number < 1 or number > MAX_WORKERS then
    return nil, ("--workers: expected a number from 1 to %d, got '%s'"):format(MAX_WORKERS, text)
  end
  return number
end

function loading.define(command)
  command:option("--config", "The config (default: ./moongate.lua, when there is one)."):argname("FILE")
  command:option(
    "--routes",
    "The directory of the route files (default: what the config names, else ./routes)."
  ):argname("DIR")
  command:option(
    "--workers",
    "Worker threads (default: what the config says, else one a core)."
  ):argname("N"):convert(workers)
end

return loading
