//! HTML: the same rows, laid out by the browser, so that groups can fold. A script of a few lines draws the lines.

use super::layout::{Cell, Rows, layout};
use super::{Kind, Member, Picture, escaped};
use std::fmt::Write;

const STYLE: &str = "body{font:13px Helvetica,Arial,sans-serif;color:#1f2328;margin:20px}h1{font-size:16px;text-align:center}\
#all{position:relative;width:max-content;margin:auto}#all>svg{position:absolute;left:0;top:0;pointer-events:none;overflow:visible}\
.row{display:flex;justify-content:center;align-items:center;gap:26px;margin:0 0 36px}.rows>.row:last-child{margin-bottom:0}\
.unit{border:1px solid;border-radius:6px;padding:6px 12px;white-space:nowrap;min-width:60px;text-align:center;z-index:1}\
.unit i{font-style:normal;font-size:11px;color:#57606a;margin-right:7px}.lane{width:10px;align-self:stretch}\
.group{border:1px dashed #8c959f;border-radius:8px;background:#8c959f12;padding:0 16px 16px}\
.group>b{display:block;font-weight:normal;font-size:11.5px;color:#57606a;padding:6px 0;cursor:pointer;user-select:none;margin-left:-8px}\
.group>b:before{content:'\\25be  '}.group.shut>b:before{content:'\\25b8  '}.group.shut>.rows{display:none}\
.group.shut{padding-bottom:0;background:#dbe9fb;border-style:solid;border-color:#3b6fb6}.group.shut>b{margin-right:0;color:#1f2328}\
text{font-size:10.5px;fill:#0a5c36;stroke:#fff;stroke-width:3px;paint-order:stroke}p{text-align:center}button{font:inherit}";

/// Lines go from the visible box around one end, through the visible lanes, to that around the other.
const SCRIPT: &str = "const all=document.getElementById('all'),svg=all.querySelector('svg');\
const seen=e=>{let out=e;for(let p=e.parentElement;p&&p!==all;p=p.parentElement)if(p.classList.contains('shut'))out=p;return out};\
function draw(){const o=all.getBoundingClientRect();const at=e=>{const r=e.getBoundingClientRect();\
return{x:r.left-o.left+r.width/2,t:r.top-o.top,b:r.bottom-o.top}};let s='',said=new Set(),done=new Set();\
for(const[a,b,i]of LINES){const f=seen(document.getElementById('u'+a)),g=seen(document.getElementById('u'+b));if(f===g)continue;\
const key=(f.id)+'>'+(g.id);if(done.has(key))continue;done.add(key);\
const p=at(f),q=at(g);let x=p.x,y=p.b,d=`M${x} ${y}`;const to=(X,Y)=>{const h=(Y-y)/2;d+=` C${x} ${y+h} ${X} ${Y-h} ${X} ${Y}`;x=X;y=Y};\
const lanes=[...document.querySelectorAll('.l'+i)].filter(e=>seen(e)===e).map(at).sort((m,n)=>m.t-n.t);\
for(const l of lanes){if(l.t<p.b-1||l.b>q.t+1)continue;to(l.x,l.t);d+=` L${l.x} ${l.b}`;y=l.b}to(q.x,q.t);\
s+=`<path d='${d}' fill='none' stroke='#6e7781' stroke-width='1.3' marker-end='url(#tip)'/>`;\
if(!said.has(f)){said.add(f);s+=`<text x='${p.x+6}' y='${p.b+13}'>${SHAPES[a]}</text>`}}\
svg.querySelector('g').innerHTML=s}\
const heads=[...document.querySelectorAll('.group>b')];for(const h of heads)h.onclick=()=>{h.parentElement.classList.toggle('shut');draw()};\
const set=v=>{for(const h of heads)h.parentElement.classList.toggle('shut',v);draw()};\
document.getElementById('open').onclick=()=>set(false);document.getElementById('shut').onclick=()=>set(true);\
addEventListener('resize',draw);draw();";

pub fn write(picture: &Picture) -> String {
    let rows = layout(picture);
    let title = escaped(&picture.title);
    let mut body = String::new();
    group(picture, &rows, 0, &mut body);
    let lines: Vec<String> = picture.edges.iter().enumerate().map(|(i, (a, b))| format!("[{a},{b},{i}]")).collect();
    // As JSON, and nothing in it may end the script.
    let shapes: Vec<String> = picture.units.iter().map(|u| escaped(&u.output)).collect();
    let shapes = serde_json::to_string(&shapes).unwrap_or_default();
    format!(
        "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"><title>{title}</title>\n<style>{STYLE}</style></head>\n\
         <body><h1>{title}</h1><p><button id=\"open\">unfold all</button> <button id=\"shut\">fold all</button></p>\n\
         <div id=\"all\"><svg width=\"1\" height=\"1\"><defs><marker id=\"tip\" viewBox=\"0 0 8 8\" refX=\"7\" refY=\"4\" \
         markerWidth=\"7\" markerHeight=\"7\" orient=\"auto\"><path d=\"M0 0.8 L7.5 4 L0 7.2 z\" fill=\"#6e7781\"/></marker></defs>\
         <g></g></svg>\n{body}</div>\n<script>const LINES=[{}],SHAPES={shapes};\n{SCRIPT}</script></body></html>\n",
        lines.join(",")
    )
}

fn group(picture: &Picture, rows: &[Rows], number: usize, out: &mut String) {
    out.push_str("<div class=\"rows\">\n");
    for row in &rows[number] {
        out.push_str("<div class=\"row\">");
        for cell in row {
            match *cell {
                Cell::Lane(line) => {
                    let _ = write!(out, "<div class=\"lane l{line}\"></div>");
                }
                Cell::Member(Member::Unit(unit)) => {
                    let this = &picture.units[unit];
                    let (fill, border) = this.kind.colors();
                    let name =
                        if this.name.is_empty() { String::new() } else { format!("<i>{}</i>", escaped(&this.name)) };
                    let round =
                        if matches!(this.kind, Kind::Input | Kind::Output) { ";border-radius:14px" } else { "" };
                    let _ = write!(
                        out,
                        "<div class=\"unit {}\" id=\"u{unit}\" style=\"background:{fill};border-color:{border}{round}\">{name}{}</div>",
                        this.kind.name(),
                        escaped(&this.label)
                    );
                }
                Cell::Member(Member::Group(inner)) => {
                    let this = &picture.groups[inner];
                    let times = if this.times > 1 { format!(" &nbsp;× {}", this.times) } else { String::new() };
                    let _ = write!(out, "<div class=\"group\" id=\"g{inner}\"><b>{}{times}</b>", escaped(&this.label));
                    group(picture, rows, inner, out);
                    out.push_str("</div>");
                }
            }
        }
        out.push_str("</div>\n");
    }
    out.push_str("</div>\n");
}
