-- SPDX-License-Identifier: MIT
--
-- require "ltn12": sources, sinks, filters and pumps, as LTN 12 ("Filters, sources and sinks", lua-users.org) has them.
-- A source gives chunks, then nil (and perhaps why). A sink takes chunks, and nil at the end. A filter takes a chunk or
-- nil and gives what it makes of it: "" when it has nothing yet.

local ltn12 = { _VERSION = "LTN12 1.0.3", BLOCKSIZE = 2048, filter = {}, source = {}, sink = {}, pump = {} }
local filter, source, sink, pump = ltn12.filter, ltn12.source, ltn12.sink, ltn12.pump

function filter.cycle(low, context, extra)
  if type(low) ~= "function" then
    error("bad argument #1 to 'filter.cycle' (a function expected)", 2)
  end
  return function(chunk)
    local result
    result, context = low(context, chunk, extra)
    return result
  end
end

-- From stage `from` on.
local function through(stages, from, chunk)
  for i = from, #stages do
    chunk = stages[i](chunk)
  end
  return chunk
end

-- At the end each stage is emptied in turn, into those behind it.
function filter.chain(...)
  local stages, ending = { ... }, 1
  return function(chunk)
    if chunk then
      return through(stages, 1, chunk)
    end
    while ending <= #stages do
      local rest = stages[ending](nil)
      if rest == nil then
        ending = ending + 1
      else
        rest = through(stages, ending + 1, rest)
        if rest ~= "" then
          return rest
        end
      end
    end
    return nil
  end
end

function source.empty()
  return function()
    return nil
  end
end

function source.error(err)
  return function()
    return nil, err
  end
end

function source.file(handle, err)
  if not handle then
    return source.error(err or "unable to open file")
  end
  return function()
    local chunk = handle:read(ltn12.BLOCKSIZE)
    if not chunk then
      handle:close()
    end
    return chunk
  end
end

-- A source may answer with another that takes its place.
function source.simplify(src)
  return function()
    local chunk, err_or_new = src()
    src = type(err_or_new) == "function" and err_or_new or src
    if not chunk then
      return nil, err_or_new
    end
    return chunk
  end
end

function source.string(text)
  if not text then
    return source.empty()
  end
  local at = 1
  return function()
    local chunk = text:sub(at, at + ltn12.BLOCKSIZE - 1)
    at = at + ltn12.BLOCKSIZE
    return chunk ~= "" and chunk or nil
  end
end

function source.table(chunks)
  local i = 0
  return function()
    i = i + 1
    return chunks[i]
  end
end

-- What it is called with comes out again first.
function source.rewind(src)
  local given = {}
  return function(chunk)
    if chunk then
      given[#given + 1] = chunk
      return 1
    end
    if #given > 0 then
      return table.remove(given)
    end
    return src()
  end
end

local function chain_one(src, fn)
  local pending, over = false, false
  return function()
    while true do
      local input, err
      if over then
        return fn(nil)
      elseif pending then
        input = "" -- it may have more
      else
        input, err = src()
        if err then
          return nil, err
        end
        over = input == nil
      end
      local output = fn(input)
      pending = input ~= nil and output ~= "" and output ~= nil
      if over or (output ~= "" and output ~= nil) then
        if output ~= "" then
          return output
        end
      end
    end
  end
end

function source.chain(src, ...)
  for _, fn in ipairs { ... } do
    src = chain_one(src, fn)
  end
  return src
end

function source.cat(...)
  local sources, i = { ... }, 1
  return function()
    while sources[i] do
      local chunk, err = sources[i]()
      if chunk or err then
        return chunk, err
      end
      i = i + 1
    end
    return nil
  end
end

function sink.table(chunks)
  chunks = chunks or {}
  return function(chunk)
    if chunk then
      chunks[#chunks + 1] = chunk
    end
    return 1
  end, chunks
end

function sink.simplify(snk)
  return function(chunk, err)
    local ok, err_or_new = snk(chunk, err)
    if not ok then
      return nil, err_or_new
    end
    snk = type(err_or_new) == "function" and err_or_new or snk
    return 1
  end
end

function sink.null()
  return function()
    return 1
  end
end

function sink.error(err)
  return function()
    return nil, err
  end
end

function sink.file(handle, err)
  if not handle then
    return sink.error(err or "unable to open file")
  end
  return function(chunk)
    if chunk then
      return handle:write(chunk)
    end
    handle:close()
    return 1
  end
end

-- Filters, then the sink at last: sink.chain(f1, f2, snk).
function sink.chain(...)
  local stages = { ... }
  local snk = table.remove(stages)
  local fn = #stages == 1 and stages[1] or filter.chain(unpack(stages))
  return function(chunk, err)
    if chunk == "" then
      return 1
    end
    local output = fn(chunk)
    while output do
      if output ~= "" then
        local ok, why = snk(output, err)
        if not ok then
          return nil, why
        end
      elseif chunk then
        return 1
      end
      output = fn(chunk and "")
    end
    return chunk and 1 or snk(nil, err)
  end
end

function pump.step(src, snk)
  local chunk, src_err = src()
  local ok, snk_err = snk(chunk, src_err)
  if chunk and ok then
    return 1
  end
  return nil, src_err or snk_err
end

function pump.all(src, snk, step)
  step = step or pump.step
  while true do
    local ok, err = step(src, snk)
    if not ok then
      if err then
        return nil, err
      end
      return 1
    end
  end
end

return ltn12
