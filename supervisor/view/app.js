"use strict";

async function show() {
  const answer = await fetch("/api/v1/status?brief=true");
  const status = await answer.json();
  const list = document.getElementById("works");
  document.title = status.app.name;
  list.replaceChildren(...status.works.map((work) => {
    const item = document.createElement("li");
    item.textContent = `${work.name}: ${work.stage}`;
    return item;
  }));
}

show();
