-- What wrk asks, each time of another device: wrk … -- KIND FLEET DEVICES [PAUSE_MS [READINGS]]
-- KIND is a function below; PAUSE_MS is waited before each request, READINGS are in a batch.

local kind, fleet, devices, pause_ms, readings
local asked = 0

local function number()
    asked = asked + 1
    return (asked * 7919) % devices
end

local function vehicle() return string.format("veh-%s-%05d", fleet, number()) end

-- Another one each time: all devices once, then all of them a second earlier.
local begun = os.time()
local sent = 0
local function reading()
    local at = begun - math.floor(sent / devices)
    local text = string.format('{"meterId":"mtr-%s-%05d","kwhConsumedAc":0.0312,"voltage":231.4,"timestamp":"%s"}',
        fleet, sent % devices, os.date("!%Y-%m-%dT%H:%M:%SZ", at))
    sent = sent + 1
    return text
end

local function post(path, body)
    return wrk.format("POST", path, {["Content-Type"] = "application/json"}, body)
end

local kinds = {}
function kinds.state() return wrk.format("GET", "/v1/telemetry/vehicle/" .. vehicle() .. "/current") end
function kinds.performance() return wrk.format("GET", "/v1/analytics/performance/" .. vehicle()) end
function kinds.fleet() return wrk.format("GET", "/v1/analytics/fleet/performance") end
function kinds.anomalies() return wrk.format("GET", "/v1/analytics/anomalies") end
function kinds.reading() return post("/v1/telemetry/meter", reading()) end
function kinds.batch()
    local batch = {}
    for index = 1, readings do batch[index] = reading() end
    return post("/v1/telemetry/meter/batch", '{"data":[' .. table.concat(batch, ",") .. "]}")
end

function init(args)
    kind, fleet, devices = args[1], args[2], tonumber(args[3])
    pause_ms, readings = tonumber(args[4] or 0), tonumber(args[5] or 1)
    if pause_ms == 0 then delay = nil end
end

function delay() return pause_ms end

function request() return kinds[kind]() end

-- Times in microseconds.
function done(summary, latency)
    local failed = summary.errors
    io.write(string.format('\n{"requests":%d,"failed":%d,"microseconds":%d,"p50":%f,"p99":%f,"max":%f}\n',
        summary.requests, failed.connect + failed.read + failed.write + failed.status + failed.timeout,
        summary.duration, latency:percentile(50), latency:percentile(99), latency.max))
end
