// The protocol's side of a plugin with one source. source.js does the work.
import grpc from '@grpc/grpc-js';
import { loadSync } from '@grpc/proto-loader';
import { randomBytes } from 'node:crypto';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { hasUnknown, read, Unknown, write } from './values.js';

const here = path.dirname(fileURLToPath(import.meta.url));
const largest = 256 * 1024 * 1024;

function load(file) {
  return grpc.loadPackageDefinition(loadSync(path.join(here, file), { keepCase: true, longs: Number, enums: String, oneofs: true }));
}

// diagnostic is an error in the protocol's form. A problem of source.js has a path and a hint.
function diagnostic(error) {
  return {
    severity: 'SEVERITY_ERROR', summary: error.summary ?? error.message, detail: error.detail ?? '', code: error.code_ ?? '', hint: error.hint ?? '',
    path: (error.path ?? []).map((step) => ({ attribute: step })),
  };
}

// serve serves until davit ends it.
export async function serve(describe, type) {
  if (process.env.DAVIT_PLUGIN !== '8a4f2b61c09d4e7f') {
    console.error('This is the davit plugin http. davit starts it by itself; name it in required_plugins.');
    process.exit(1);
  }
  const hosts = new Map(); // what davit told of each stack, by the stack's id
  const unknown = (r) => ({ message: `the plugin was not configured for the stack "${r.stack}"` });
  const knows = (r) => r.kind === 'source' && r.type === 'http';
  const missing = (r) => ({ message: `the plugin http has no ${r.kind} "${r.type}"` });

  async function plan(r) {
    if (!knows(r)) return { diagnostics: [diagnostic(missing(r))] };
    const host = hosts.get(r.stack);
    if (!host) return { diagnostics: [diagnostic(unknown(r))] };
    try {
      const config = read(r.config);
      if (config === null || typeof config !== 'object' || Array.isArray(config)) throw new Error('the configuration is not an object');
      if (hasUnknown(config)) {
        const outputs = Object.fromEntries(describe.types[0].outputs.attributes.map((a) => [a.name, Unknown]));
        return { action: 'ACTION_NONE', outputs: write(outputs), reasons: ['planned at apply: not everything is known yet'] };
      }
      type.validate(config);
      return { action: 'ACTION_NONE', outputs: write(await type.observe(config, read(r.pinned), host)) };
    } catch (error) {
      return { diagnostics: [diagnostic(error)] };
    }
  }

  const plugin = {
    Describe: (call, done) => done(null, describe),
    Configure: (call, done) => {
      hosts.set(call.request.stack, { cacheDir: call.request.cache_dir, stackDir: call.request.stack_dir });
      done(null, {});
    },
    Validate: (call, done) => {
      if (!knows(call.request)) return done({ code: grpc.status.NOT_FOUND, message: missing(call.request).message });
      try {
        const config = read(call.request.config);
        if (!hasUnknown(config)) type.validate(config);
        done(null, {});
      } catch (error) {
        done(null, { diagnostics: [diagnostic(error)] });
      }
    },
    // Many instances share the stream; each answer carries the id of its request.
    Plan: (stream) => {
      let open = 0, ended = false;
      const end = () => { if (ended && open === 0) stream.end(); };
      stream.on('data', async (r) => {
        open++;
        const result = await plan(r);
        stream.write({ id: r.id, result });
        open--;
        end();
      });
      stream.on('end', () => { ended = true; end(); });
      stream.on('error', () => {});
    },
    CloseStack: (call, done) => {
      hosts.delete(call.request.stack);
      done(null, {});
    },
    Watch: (stream) => {
      const host = hosts.get(stream.request.stack);
      if (!host) return stream.destroy(Object.assign(new Error(unknown(stream.request).message), { code: grpc.status.FAILED_PRECONDITION }));
      type.watch(
        stream.request.instances.map((i) => ({ address: i.address, config: read(i.config) })), host,
        (address, reason) => stream.write({ address, reason }), (stop) => stream.on('cancelled', stop),
      );
    },
    Cancel: (call, done) => done(null, {}), // nothing is ever applied
  };

  const server = new grpc.Server({ 'grpc.max_receive_message_length': largest, 'grpc.max_send_message_length': largest });
  server.addService(load('plugin.proto').davit.plugin.v1.Plugin.service, plugin);
  server.addService(load('controller.proto').plugin.GRPCController.service, {
    Shutdown: (call, done) => {
      done(null, {});
      setImmediate(() => process.exit(0));
    },
  });
  const socket = path.join(process.env.PLUGIN_UNIX_SOCKET_DIR, 'http' + randomBytes(4).toString('hex'));
  await new Promise((resolve, reject) => {
    server.bindAsync('unix:' + socket, grpc.ServerCredentials.createInsecure(), (error) => (error ? reject(error) : resolve()));
  });
  process.stdout.write(`1|1|unix|${socket}|grpc|\n`); // the only line that may go there
  console.log = console.error;
}
