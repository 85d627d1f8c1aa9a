// Holds the dashboards that are named on the command line against the types that Grafana publishes
// for the JSON of a dashboard and for the options of each kind of panel (@grafana/schema, under
// Apache 2.0): a name that Grafana does not know, a missing one and a value of another type are
// errors. Prints `ok FILE` for each one, or what is wrong with its place in the JSON.
import { readFileSync } from 'node:fs';
import { basename } from 'node:path';
import ts from 'typescript';

const RAW = '@grafana/schema/dist/esm/raw';
// Where the types of a panel's options and of its fields stand; a row has none.
const KINDS = {
  barchart: 'BarChart', geomap: 'Geomap', stat: 'Stat', 'state-timeline': 'StateTimeline',
  table: 'Table', timeseries: 'TimeSeries',
};
// In exported dashboards, and in no type: how the list of variables shows a query; what Prometheus is
// asked for annotations, and how they are called, which is the data source's own.
const UNTYPED = ['definition', 'expr', 'titleFormat'];

const folder = kind => kind.replace('-', '');
const imports = Object.entries(KINDS).map(([kind, name]) =>
  `import type * as ${name} from '${RAW}/composable/${folder(kind)}/panelcfg/x/${name}PanelCfg_types.gen';`);
// A value of JSON: an enum's member is its text or number there.
const HEAD = `
import type { Dashboard } from '@grafana/schema/dist/esm/raw/dashboard/x/Dashboard_types.gen';
${imports.join('\n')}
type Plain<T> = T extends string ? \`\${T}\` : T extends number | boolean | null | undefined ? T
  : T extends readonly (infer E)[] ? Plain<E>[]
  : T extends object ? { [K in keyof T]: Plain<T[K]> } : unknown;
type Part<T> = Plain<Partial<T>>;
`;

/// The dashboard as one that a compiler looks at.
function source(file) {
  const dashboard = JSON.parse(readFileSync(file, 'utf8'), (key, value) => UNTYPED.includes(key) ? undefined : value);
  const text = value => JSON.stringify(value, null, 1);
  const panels = dashboard.panels.filter(panel => panel.type !== 'row');
  const parts = panels.flatMap(panel => {
    const name = KINDS[panel.type];
    if (!name) throw new Error(`${file}: a panel of the kind ${panel.type}, of which check.mjs has no types`);
    const place = `${name}_${panel.id}`;
    return [
      `export const options_${place}: Part<${name}.Options> = ${text(panel.options ?? {})};`,
      ...('FieldConfig' in types(panel.type) ? [`export const fields_${place}: Part<${name}.FieldConfig> = ${text(panel.fieldConfig?.defaults?.custom ?? {})};`] : []),
    ];
  });
  return `${HEAD}export const dashboard: Plain<Dashboard> = ${text(dashboard)};\n${parts.join('\n')}\n`;
}

/// The names of what a kind's file declares.
function types(kind) {
  const file = `node_modules/@grafana/schema/dist/types/raw/composable/${folder(kind)}/panelcfg/x/types.gen.d.ts`;
  const names = readFileSync(file, 'utf8').matchAll(/export interface (\w+)/g);
  return Object.fromEntries([...names].map(([, name]) => [name, true]));
}

const options = {
  noEmit: true, strict: true, skipLibCheck: true, target: ts.ScriptTarget.ES2022,
  module: ts.ModuleKind.ESNext, moduleResolution: ts.ModuleResolutionKind.Bundler,
};
let failed = false;
for (const file of process.argv.slice(2)) {
  // Beside node_modules, where the types are looked for; it is never written.
  const name = `${process.cwd()}/${basename(file, '.json')}.dashboard.ts`;
  const written = source(file);
  const host = ts.createCompilerHost(options);
  const { fileExists, readFile, getSourceFile } = host;
  host.fileExists = path => path === name || fileExists(path);
  host.readFile = path => path === name ? written : readFile(path);
  host.getSourceFile = (path, ...rest) =>
    path === name ? ts.createSourceFile(path, written, options.target) : getSourceFile(path, ...rest);
  const program = ts.createProgram([name], options, host);
  const found = ts.getPreEmitDiagnostics(program);
  if (found.length === 0) {
    console.log(`ok ${file}`);
    continue;
  }
  failed = true;
  for (const { file: at, start, messageText } of found) {
    const line = at ? written.slice(0, start).split('\n').length - 1 : 0;
    const around = written.split('\n').slice(Math.max(0, line - 2), line + 1).join(' ');
    console.log(`${file}: ${ts.flattenDiagnosticMessageText(messageText, ' ')} [${around}]`);
  }
}
process.exitCode = failed ? 1 : 0;
