// A small real model behind the OpenAI chat interface.
//
//   node serve.mjs [--port 0] [--model FILE.gguf] [--parallel 2]
//
// Serves POST /v1/chat/completions, GET /v1/models and GET /health on 127.0.0.1, and prints
// `listening on http://127.0.0.1:PORT` once the model is loaded. Token counts in `usage` are the model's own.
// The temperature is 0 unless the request says otherwise, so that the same prompt gives the same answer.

import {existsSync} from "node:fs";
import {createServer} from "node:http";
import {dirname, join} from "node:path";
import {fileURLToPath} from "node:url";
import {parseArgs} from "node:util";
import {getLlama, LlamaLogLevel} from "node-llama-cpp";

const MODEL_ID = "SmolLM2-135M-Instruct";
// One model under three names: recipes let another model check an answer.
const MODEL_IDS = [MODEL_ID, `${MODEL_ID}-2`, `${MODEL_ID}-3`];
const CONTEXT_WINDOW = 2048;
const MAX_OUTPUT_TOKENS = 512;
const MAX_BODY_BYTES = 1024 * 1024;
const DEFAULT_SYSTEM = "You are a helpful AI assistant named SmolLM, trained by Hugging Face";

const here = dirname(fileURLToPath(import.meta.url));
const {values: args} = parseArgs({
    options: {
        port: {type: "string", default: "0"},
        model: {type: "string", default: join(here, "model", "SmolLM2-135M-Instruct.Q4_1.gguf")},
        parallel: {type: "string", default: "2"}
    }
});

if (!existsSync(args.model)) {
    console.error(`serve.mjs: no model at ${args.model}; run setup.sh first`);
    process.exit(2);
}

const engine = await loadEngine(args.model, Number(args.parallel));
const server = createServer((request, response) => {
    route(request, response).catch((error) => {
        console.error("serve.mjs:", error);
        if (!response.headersSent) sendError(response, 500, "server_error", "internal", "the model failed");
        else response.destroy();
    });
});
server.listen(Number(args.port), "127.0.0.1", () => {
    console.log(`listening on http://127.0.0.1:${server.address().port}`);
});
for (const signal of ["SIGINT", "SIGTERM"]) process.once(signal, () => process.exit(0));

async function route(request, response) {
    const path = new URL(request.url, "http://127.0.0.1").pathname;
    if (request.method === "GET" && path === "/health") return send(response, 200, {status: "ok"});
    if (request.method === "GET" && path === "/v1/models") {
        return send(response, 200, {object: "list", data: MODEL_IDS.map((id) => ({id, object: "model", created: 0, owned_by: "local"}))});
    }
    if (request.method === "POST" && path === "/v1/chat/completions") return chatCompletion(request, response);
    return sendError(response, 404, "invalid_request_error", "not_found", `no ${request.method} ${path} here`);
}

async function chatCompletion(request, response) {
    const started = Date.now();
    let job;
    try {
        job = parseRequest(await readBody(request));
    } catch (error) {
        if (!(error instanceof BadRequest)) throw error;
        return sendError(response, error.status, "invalid_request_error", error.code, error.message);
    }

    const prompt = engine.promptTokens(job.messages);
    if (prompt.length + job.maxTokens > CONTEXT_WINDOW) {
        return sendError(response, 400, "invalid_request_error", "context_length_exceeded",
            `This model's maximum context length is ${CONTEXT_WINDOW} tokens. ` +
            `You asked for ${prompt.length + job.maxTokens}: ${prompt.length} in the messages, ${job.maxTokens} in the completion.`);
    }

    const caller = new AbortController();
    response.once("close", () => caller.abort());
    const answer = await engine.generate(prompt, job, caller.signal);
    if (caller.signal.aborted) return;

    const id = `chatcmpl-${started.toString(36)}-${++engine.served}`;
    response.setHeader("x-request-id", id);
    send(response, 200, {
        id,
        object: "chat.completion",
        created: Math.floor(started / 1000),
        model: MODEL_ID,
        choices: [{
            index: 0,
            message: {role: "assistant", content: answer.text},
            logprobs: null,
            finish_reason: answer.finishReason
        }],
        usage: {
            prompt_tokens: prompt.length,
            completion_tokens: answer.tokens,
            total_tokens: prompt.length + answer.tokens,
            prompt_tokens_details: {cached_tokens: 0},
            completion_tokens_details: {reasoning_tokens: 0}
        }
    });
}

/** Loads the model and keeps `parallel` sequences of one context to answer with. */
async function loadEngine(modelPath, parallel) {
    const llama = await getLlama({
        // The macOS build for Apple silicon comes with Metal only.
        gpu: process.platform === "darwin" && process.arch === "arm64" ? "metal" : false,
        build: "never",
        logLevel: LlamaLogLevel.error
    });
    const model = await llama.loadModel({modelPath});
    // One thread: more of them wait for each other busily, and on a machine with other work to do that is
    // hundreds of times slower.
    const context = await model.createContext({contextSize: CONTEXT_WINDOW, sequences: parallel, threads: 1});
    const free = Array.from({length: parallel}, () => context.getSequence());
    const waiting = [];

    const take = () => free.length > 0 ? Promise.resolve(free.pop()) : new Promise((resolve) => waiting.push(resolve));
    const giveBack = (sequence) => {
        const next = waiting.shift();
        if (next) next(sequence);
        else free.push(sequence);
    };

    return {
        served: 0,

        /** The chat as tokens in the model's own template. What people wrote is never read as a control token. */
        promptTokens(messages) {
            const chat = messages[0].role === "system" ? messages : [{role: "system", content: DEFAULT_SYSTEM}, ...messages];
            const tokens = [];
            for (const {role, content} of chat) {
                tokens.push(
                    ...model.tokenize(`<|im_start|>${role}\n`, true),
                    ...model.tokenize(content, false),
                    ...model.tokenize("<|im_end|>\n", true)
                );
            }
            tokens.push(...model.tokenize("<|im_start|>assistant\n", true));
            return tokens;
        },

        async generate(prompt, {maxTokens, temperature, topP, seed, stop}, signal) {
            const sequence = await take();
            try {
                await sequence.clearHistory();
                const answer = [];
                let text = "";
                let finishReason = "stop";
                if (signal.aborted) return {text, tokens: 0, finishReason};
                for await (const token of sequence.evaluate(prompt, {temperature, topP, seed})) {
                    if (signal.aborted) break;
                    answer.push(token);
                    text = model.detokenize(answer, false);
                    const cut = earliest(text, stop);
                    if (cut >= 0) {
                        text = text.slice(0, cut);
                        break;
                    }
                    if (answer.length >= maxTokens) {
                        finishReason = "length";
                        break;
                    }
                }
                return {text: text.trim(), tokens: answer.length, finishReason};
            } finally {
                giveBack(sequence);
            }
        }
    };
}

function earliest(text, stops) {
    const places = stops.map((stop) => text.indexOf(stop)).filter((place) => place >= 0);
    return places.length > 0 ? Math.min(...places) : -1;
}

class BadRequest extends Error {
    constructor(message, code = "invalid_value", status = 400) {
        super(message);
        this.code = code;
        this.status = status;
    }
}

async function readBody(request) {
    const chunks = [];
    let size = 0;
    for await (const chunk of request) {
        size += chunk.length;
        if (size > MAX_BODY_BYTES) throw new BadRequest(`the body is over ${MAX_BODY_BYTES} bytes`, "too_large", 413);
        chunks.push(chunk);
    }
    try {
        return JSON.parse(Buffer.concat(chunks).toString("utf8"));
    } catch {
        throw new BadRequest("the body is not JSON", "not_json");
    }
}

function parseRequest(body) {
    if (body === null || typeof body !== "object" || Array.isArray(body)) throw new BadRequest("the body is not an object");
    if (body.model !== undefined && !MODEL_IDS.includes(body.model)) {
        throw new BadRequest(`The model \`${body.model}\` does not exist; this server has ${MODEL_IDS.join(", ")}.`, "model_not_found", 404);
    }
    if (body.stream) throw new BadRequest("this server does not stream", "unsupported_value");
    if (!Array.isArray(body.messages) || body.messages.length === 0) throw new BadRequest("messages: a list that is not empty");
    return {
        messages: body.messages.map(parseMessage),
        maxTokens: number(body, ["max_completion_tokens", "max_tokens"], 1, MAX_OUTPUT_TOKENS, 256),
        temperature: number(body, ["temperature"], 0, 2, 0),
        topP: number(body, ["top_p"], 0, 1, 1),
        seed: number(body, ["seed"], 0, 2 ** 31, 1),
        stop: body.stop === undefined || body.stop === null ? [] : [body.stop].flat().map(String).filter(Boolean)
    };
}

function parseMessage(message, at) {
    if (!["system", "user", "assistant"].includes(message?.role)) {
        throw new BadRequest(`messages[${at}].role: one of system, user, assistant`);
    }
    const content = Array.isArray(message.content)
        ? message.content.map((part) => part?.type === "text" ? part.text : undefined)
        : [message.content];
    if (!content.every((part) => typeof part === "string")) throw new BadRequest(`messages[${at}].content: text`);
    return {role: message.role, content: content.join("")};
}

function number(body, names, low, high, otherwise) {
    const name = names.find((one) => body[one] !== undefined && body[one] !== null);
    if (name === undefined) return otherwise;
    if (typeof body[name] !== "number" || body[name] < low || body[name] > high) {
        throw new BadRequest(`${name}: a number from ${low} to ${high}`);
    }
    return body[name];
}

function send(response, status, body) {
    response.writeHead(status, {"content-type": "application/json"});
    response.end(JSON.stringify(body));
}

function sendError(response, status, type, code, message) {
    send(response, status, {error: {message, type, param: null, code}});
}
