"""The style sheet of the HTML report: readable on a phone, on a screen, on paper."""

__all__ = ["CSS"]

CSS = """
:root { color-scheme: light; --ink: #1f2328; --soft: #57606a; --line: #d0d7de; --wash: #f6f8fa; }
* { box-sizing: border-box; }
html { -webkit-text-size-adjust: 100%; }
body { margin: 0; background: #fff; color: var(--ink);
  font: 16px/1.55 system-ui, -apple-system, "Segoe UI", Roboto, "Helvetica Neue", Arial, sans-serif; }
main { max-width: 1160px; margin: 0 auto; padding: 24px 20px 64px; }
h1 { font-size: 1.6rem; line-height: 1.25; margin: 0 0 .6em; overflow-wrap: anywhere; }
h2 { font-size: 1.25rem; margin: 2.2em 0 .6em; padding-top: .5em; border-top: 1px solid var(--line);
  overflow-wrap: anywhere; }
h3 { font-size: 1.05rem; margin: 1.6em 0 .5em; overflow-wrap: anywhere; }
p { margin: .6em 0; max-width: 75ch; overflow-wrap: anywhere; }
p.lead { font-size: 1.08rem; }
p.note, figcaption, caption { color: var(--soft); font-size: .9rem; }
p.warning { background: #fff4e5; border-left: 5px solid #d55e00; padding: .7em .9em; max-width: none; }
nav ol { columns: 2; column-gap: 3em; margin: 0; padding-left: 1.9em; font-size: .95rem; }
nav li { overflow-wrap: anywhere; break-inside: avoid; }
a { color: #0b5cad; }
figure { margin: 1em 0 1.4em; }
figcaption { margin-top: .2em; max-width: 75ch; }
.frame { overflow-x: auto; }
.chart { width: 100%; overflow: hidden; }
.chart.panels { min-width: 680px; }
.scroll { overflow-x: auto; margin: 1em 0; }
table { border-collapse: collapse; font-size: .9rem; font-variant-numeric: tabular-nums; min-width: 100%; }
caption { text-align: left; padding-bottom: .4em; }
th, td { padding: .35em .7em; border-bottom: 1px solid var(--line); text-align: right; vertical-align: top; }
th { background: var(--wash); font-weight: 600; }
td { white-space: nowrap; }
th.words, td.words { text-align: left; }
td.words { white-space: normal; min-width: 6em; max-width: 34em; overflow-wrap: break-word; }
td.short { white-space: nowrap; min-width: 0; }
table.wide { font-size: .82rem; }
table.wide th, table.wide td { padding: .35em .5em; }
td.unknown { color: #a24000; }
pre { background: var(--wash); padding: .8em 1em; white-space: pre-wrap; overflow-wrap: anywhere; border-radius: 4px; }
ul { padding-left: 1.3em; max-width: 75ch; }
li { overflow-wrap: anywhere; }
@media (max-width: 600px) {
  main { padding: 16px 12px 40px; }
  h1 { font-size: 1.3rem; }
  nav ol { columns: 1; }
  table { font-size: .82rem; }
  th, td { padding: .3em .45em; }
}
@media print {
  body { font-size: 10.5pt; }
  main { max-width: none; padding: 0; }
  nav, .modebar-container { display: none !important; }
  a { color: inherit; text-decoration: none; }
  h2, h3 { break-after: avoid; }
  figure, tr { break-inside: avoid; }
  .scroll, .frame { overflow: visible; }
  table { font-size: 7.5pt; }
  th, td { padding: .2em .35em; }
  td { white-space: normal; }
  td.words { min-width: 0; }
  td.short { white-space: normal; }
  table.wide { font-size: 6.5pt; }
  table.wide th, table.wide td { padding: .15em .25em; }
}
"""
