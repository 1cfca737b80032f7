"""The report's style sheet: system fonts, one column, light and dark by the reader's setting, narrow screens and paper thought of."""

from __future__ import annotations

STYLE = """
:root {
  color-scheme: light dark;
  --paper: #faf9f6; --card: #ffffff; --ink: #23262b; --soft: #62666d; --line: #e3e0d8; --wash: #f1efe9;
  --model: #1f6f8b; --ceiling: #b07d1e; --floor: #8b8f96; --sound: #dcd8cc; --gain: #cfe3e9; --good: #eef2ea;
}
@media (prefers-color-scheme: dark) {
  :root {
    --paper: #16181b; --card: #1d2024; --ink: #e6e4df; --soft: #9da2a9; --line: #31353b; --wash: #23272c;
    --model: #6cb8d2; --ceiling: #dcae55; --floor: #838991; --sound: #363b41; --gain: #25424d; --good: #222a26;
  }
}
* { box-sizing: border-box; }
html { -webkit-text-size-adjust: 100%; text-size-adjust: 100%; scroll-behavior: smooth; }
body {
  margin: 0 auto; padding: 3.5rem 1.5rem 5rem; max-width: 66rem; background: var(--paper); color: var(--ink);
  font: 1rem/1.6 system-ui, -apple-system, "Segoe UI", Roboto, "Helvetica Neue", sans-serif;
}
h1, h2, h3 { font-family: Charter, "Iowan Old Style", "Palatino Linotype", Georgia, serif; font-weight: 600; line-height: 1.2; }
h1 { font-size: 2.4rem; margin: 0 0 .4rem; letter-spacing: -.01em; }
h2 { font-size: 1.55rem; margin: 4rem 0 .75rem; scroll-margin-top: 1rem; }
h3 { font-size: 1.15rem; margin: 2.5rem 0 .6rem; }
p { max-width: 44rem; margin: .6rem 0; }
a { color: var(--model); text-underline-offset: .2em; }
small, .soft { color: var(--soft); font-size: .86rem; }
code { font: .85em ui-monospace, "SF Mono", Menlo, Consolas, monospace; overflow-wrap: anywhere; }
nav { display: flex; flex-wrap: wrap; gap: .3rem 1.4rem; margin: 1.6rem 0 0; padding: .8rem 0; border-block: 1px solid var(--line); }
nav a { text-decoration: none; font-size: .92rem; }
nav a:hover { text-decoration: underline; }
dl { display: grid; grid-template-columns: max-content 1fr; gap: .3rem 1.5rem; margin: 1rem 0; }
dt { color: var(--soft); } dd { margin: 0; overflow-wrap: anywhere; }
.key { list-style: none; margin: 1.2rem 0; padding: 0; display: grid; gap: 1rem; }
.key { grid-template-columns: repeat(auto-fit, minmax(15rem, 1fr)); }
.key li { background: var(--card); border: 1px solid var(--line); border-radius: .6rem; padding: .9rem 1.1rem; }
.key strong { display: flex; align-items: center; gap: .45rem; margin-bottom: .2rem; }
.legend { display: flex; flex-wrap: wrap; gap: .2rem 1.4rem; margin: .4rem 0 1rem; font-size: .88rem; color: var(--soft); }
.legend span { display: inline-flex; align-items: center; gap: .35rem; }
.swatch { width: 1rem; height: 1rem; flex: none; }

table { width: 100%; border-collapse: collapse; margin: .8rem 0 1.5rem; font-variant-numeric: tabular-nums; }
th { text-align: left; font-weight: 500; font-size: .86rem; color: var(--soft); }
h3 small { display: block; font: 400 .86rem/1.6 system-ui, sans-serif; }
table.figures { table-layout: fixed; } table.figures thead th:not(:first-child, .plot) { width: 8.2rem; }
th.plot { width: 15.5rem; }
th, td { padding: .6rem .9rem .6rem 0; border-bottom: 1px solid var(--line); vertical-align: top; }
thead th { vertical-align: bottom; }
tbody th { color: var(--ink); font-size: 1rem; }
tbody th small { display: block; font-weight: 400; max-width: 26rem; }
td.figure { white-space: nowrap; font-size: 1.02rem; }
td.figure small { display: block; }
td.figure.model { font-weight: 650; color: var(--model); } td.figure.model small { font-weight: 400; }
td.plot { padding-right: 0; }
th.plot span { display: flex; justify-content: space-between; }
td.missing { color: var(--soft); font-style: italic; }
.published table { margin: 0; }
.published th, .published td { padding: .35rem .6rem .35rem 0; font-size: .92rem; } .published thead th { font-size: .82rem; }
tr.ours th, tr.ours td { font-weight: 650; }

svg { display: block; width: 100%; height: auto; overflow: visible; }
svg text { fill: var(--soft); font: 11px system-ui, sans-serif; }
.comparison { max-width: 24rem; }
.axis { stroke: var(--line); stroke-width: 1; }
.gain { fill: var(--gain); } .good { fill: var(--good); }
.range { stroke-width: 2.5; stroke-linecap: round; opacity: .45; } .range.model { stroke-width: 5; }
line.mark { stroke-width: 2.5; stroke-linecap: round; } circle.mark { stroke: var(--card); stroke-width: 1.5; }
line.model { stroke: var(--model); } line.ceiling { stroke: var(--ceiling); } line.floor { stroke: var(--floor); }
circle.model, rect.fill.model { fill: var(--model); } rect.fill.ceiling { fill: var(--ceiling); } rect.fill.floor { fill: var(--floor); }
.area.sound { fill: var(--sound); }
.curve { fill: none; stroke-linejoin: round; stroke-linecap: round; }
.curve.model { stroke: var(--model); stroke-width: 2.2; }
.curve.ceiling { stroke: var(--ceiling); stroke-width: 1.6; stroke-dasharray: 5 4; }

.panels { display: grid; gap: 1.2rem; grid-template-columns: repeat(auto-fit, minmax(min(17rem, 100%), 1fr)); margin: 1rem 0; }
.panels.wide { grid-template-columns: repeat(auto-fit, minmax(min(26rem, 100%), 1fr)); }
.panel, .clip {
  background: var(--card); border: 1px solid var(--line); border-radius: .6rem; padding: 1rem 1.1rem; margin: 0;
  break-inside: avoid;
}
.panel h4, .clip h4 { margin: 0 0 .5rem; font-size: .95rem; font-weight: 600; display: flex; align-items: center; gap: .4rem; }
.panel p { margin: .5rem 0 0; }
.clip .rank { color: var(--soft); font-weight: 400; font-size: .86rem; margin-left: auto; }
.clip blockquote { margin: .8rem 0 .3rem; font: italic 1.08rem/1.4 Charter, "Iowan Old Style", Georgia, serif; }
.clip dl { gap: .1rem 1rem; font-size: .88rem; margin: .7rem 0 0; font-variant-numeric: tabular-nums; }
.pair { display: grid; grid-template-columns: 1fr 1fr; gap: .7rem; }
.pair figure { margin: 0; } .pair figcaption { display: flex; align-items: center; gap: .3rem; font-size: .82rem; color: var(--soft); }
.pair.sounds { grid-template-columns: 1fr; }
video { display: block; width: 100%; border-radius: .35rem; background: var(--wash); aspect-ratio: 1; object-fit: contain; }
audio { display: block; width: 100%; }
.caution {
  max-width: 46rem; background: var(--wash); border-left: 3px solid var(--ceiling); padding: .8rem 1.1rem; border-radius: 0 .4rem .4rem 0;
}

@media screen and (max-width: 46rem) {
  body { padding: 2rem 1.1rem 4rem; }
  h1 { font-size: 1.9rem; } h2 { margin-top: 3rem; }
  dl { grid-template-columns: 1fr; gap: 0; } dd { margin-bottom: .5rem; }
  .clip dl { grid-template-columns: max-content 1fr; } .clip dl dd { margin: 0; }
  table.figures thead { display: none; }
  table.figures tr { display: grid; grid-template-columns: repeat(3, 1fr); padding: .9rem 0; border-bottom: 1px solid var(--line); }
  table.figures th, table.figures td { border: 0; padding: .1rem .5rem .1rem 0; }
  table.figures tbody th, table.figures td.plot, table.figures td.missing { grid-column: 1 / -1; width: auto; }
  table.figures td.figure::before {
    content: attr(data-column); display: block; color: var(--soft); font: 400 .78rem/1.5 system-ui, sans-serif;
  }
  table.figures td.plot { padding-top: .5rem; }
}
@media print {
  :root {
    --paper: #fff; --card: #fff; --ink: #000; --soft: #444; --line: #ccc; --wash: #f4f4f4;
    --model: #1f6f8b; --ceiling: #b07d1e; --floor: #777; --sound: #ddd; --gain: #cfe3e9; --good: #eee;
  }
  @page { margin: 16mm; }
  html { font-size: 8.5pt; }
  body { padding: 0; max-width: none; print-color-adjust: exact; -webkit-print-color-adjust: exact; }
  nav { display: none; }
  h2, h3 { break-after: avoid; } tr { break-inside: avoid; }
}
"""
